"""The office over a real server: everybody does what their role may, and nothing else."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orderkeep.access.keys import OFFICE
from orderkeep.access.ports import PersonChange
from orderkeep.access.rights import ACTION_RIGHTS, RIGHTS, Role, may_act
from orderkeep.kernel.ids import OrderNo, order_no
from orderkeep.orders import commands as c
from orderkeep.orders.events import Actor, ActorKind, Cause
from orderkeep.orders.order import Stage
from orderkeep.testing.office import NOON, TestOffice, running_office

UNTIL = (NOON + timedelta(days=1)).isoformat()
REASON = {"reason": "because of the test"}
ARGS: dict[str, dict[str, Any]] = {
    "approve": {},
    "enter-price": {"total": "250.00", **REASON},
    "reprice": REASON,
    "accept-price": {},
    "promise": {"promise_at": (NOON + timedelta(days=40)).isoformat(), **REASON},
    "priority": {"priority": 2, **REASON},
    "hold": {"owner": "seller", "until": UNTIL, "stops_clock": False, **REASON},
    "lift": REASON,
    "cancel": REASON,
    "cancel-anyway": REASON,
    "cancel-withdraw": REASON,
    "note": {"text": "seen"},
    "return-open": REASON,
    "return-inspect": {},
    "return-resolve": {"outcome": "replace"},
    "close": {"why": "delivered"},
    "replace-file": {"position": 1, "file_id": "none"},
    "settle": {"decision": "accept", "note": "looked at"},
    "delivery-decide": {"decision": "there", "note": "seen at the bench"},
    "claim": {},
    "release": REASON,
    "start": {},
    "done": {},
    "pack": {},
    "ship": {"tracking_no": "TRACK-1", "carrier": "post"},
    "hand-back": REASON,
    "rework": REASON,
    "cannot-be-made": REASON,
    "reassign": {"operator": "op", **REASON},
}
NEVER = 2**30
"""A version no order reaches: whoever may try is told that it is stale, and nothing happens."""


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_may_try_what_the_table_says_and_nothing_else(
    role: Role, tmp_path: Path
) -> None:
    async with running_office(tmp_path, follow=False) as office:
        no = await office.order("matrix")
        desk = await office.desk(role, f"the-{role}")

        answers = {
            action: await desk.act(no, action, NEVER, **args) for action, args in ARGS.items()
        }

    assert ARGS.keys() == ACTION_RIGHTS.keys()
    for action, answer in answers.items():
        expected = 409 if may_act(role, action) else 403
        assert answer.status_code == expected, (action, answer.text)
        kind = "stale-order" if expected == 409 else "not-allowed"
        assert answer.json()["type"] == f"/problems/{kind}"
    assert desk.me["can"] == sorted(RIGHTS[role])


@pytest.mark.parametrize("role", list(Role))
async def test_people_partners_and_orders_by_hand_follow_the_table_too(
    role: Role, tmp_path: Path
) -> None:
    async with running_office(tmp_path, follow=False) as office:
        desk = await office.desk(role, f"the-{role}")
        person = {"login": "new", "name": "New", "role": "seller", "password": "long enough"}
        asked: list[tuple[str, str, str, Any]] = [
            ("people.manage", "GET", "/people", None),
            ("people.manage", "POST", "/people", person),
            ("partners.manage", "GET", "/partners", None),
            ("partners.manage", "POST", "/partners", {"name": "P"}),
            ("order.create", "POST", "/drafts", {"note": "half a thought"}),
            ("work.claim", "POST", "/board/take-next", None),
        ]

        for right, method, path, body in asked:
            answer = await desk.send(method, path, body)
            allowed = right in RIGHTS[role]
            assert (answer.status_code == 403) is not allowed, (path, answer.text)
            assert answer.status_code in {200, 201, 403}


WHOLE = {"customer": {"name": "Анна"}, "items": [{"sku": "BAND-1", "quantity": 1}]}


@pytest.mark.parametrize("role", list(Role))
async def test_a_draft_is_its_writers_alone(role: Role, tmp_path: Path) -> None:
    """An order number is easily mistyped: a colleague's draft was overwritten, and sent."""
    async with running_office(tmp_path, follow=False) as office:
        writer, other = await office.desk(Role.SELLER, "writer"), await office.desk(role, "other")
        no = (await writer.send("POST", "/drafts", {"note": "mine"})).json()["order_no"]
        begun = await office.load(OrderNo(no))

        listed = await other.send("GET", "/drafts")
        opened = await other.send("POST", "/drafts", {"note": "theirs"})
        saved = await other.send("PUT", f"/drafts/{no}", WHOLE)
        sent = await other.send("POST", f"/drafts/{no}/submit", WHOLE)
        read = await other.send("GET", f"/drafts/{no}")
        unknown = await other.send("PUT", f"/drafts/{order_no(4242)}", WHOLE)

        assert await office.load(OrderNo(no)) == begun
        assert [one["body"] for one in (await writer.get("/drafts"))["items"]] == [{"note": "mine"}]
        assert (await writer.send("POST", f"/drafts/{no}/submit", WHOLE)).status_code == 201

    if "order.create" in RIGHTS[role]:
        assert (listed.json()["items"], opened.status_code) == ([], 201)
        assert [one.status_code for one in (saved, sent, read, unknown)] == [404] * 4
        assert saved.json()["type"] == unknown.json()["type"] == "/problems/order-not-found"
        assert saved.json()["detail"].replace(no, "") == (
            unknown.json()["detail"].replace(order_no(4242), "")
        )
    else:
        refused = [listed, opened, saved, sent, read, unknown]
        assert [one.status_code for one in refused] == [403] * len(refused)


@pytest.mark.parametrize("role", list(Role))
async def test_a_drafts_page_says_whose_it_is_and_who_may_go_on(role: Role, tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        writer, other = await office.desk(Role.SELLER, "writer"), await office.desk(role, "other")
        no = (await writer.send("POST", "/drafts", {"note": "mine"})).json()["order_no"]

        begun = [(await desk.get(f"/orders/{no}"))["draft"] for desk in (writer, other)]
        await writer.send("POST", f"/drafts/{no}/submit", WHOLE)
        sent = (await writer.get(f"/orders/{no}"))["draft"]

    assert [one["mine"] for one in begun] == [True, False]
    assert begun[0]["writer"] == begun[1]["writer"] != ""
    assert sent is None


async def test_the_house_itself_is_no_partner_to_give_a_key_to(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        admin = await office.desk(Role.ADMIN, "admin")
        added = (await admin.send("POST", "/partners", {"name": "Aurum"})).json()["id"]

        made = await admin.send("POST", f"/partners/{added}/keys", {})
        refused = await admin.send("POST", f"/partners/{OFFICE}/keys", {})
        listed = [one["id"] for one in (await admin.get("/partners"))["items"]]
        known = [partner.id for partner, _ in await office.app.office.registry.partners()]

    assert OFFICE in known
    assert (made.status_code, refused.status_code) == (201, 404)
    assert refused.json()["type"] == "/problems/partner-not-found"
    assert listed == [added]


async def test_a_writer_whose_role_has_changed_keeps_the_draft(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        writer = await office.desk(Role.SELLER, "writer")
        no = (await writer.send("POST", "/drafts", {"note": "mine"})).json()["order_no"]
        registry = office.app.office.registry
        [person] = [one for one in await registry.people() if one.login == "writer"]
        await registry.change_person("test", person.id, PersonChange(role=Role.ADMIN))

        again = await office.desk(Role.ADMIN, "writer")
        sent = await again.send("POST", f"/drafts/{no}/submit", WHOLE)

    assert sent.status_code == 201


async def test_everybody_reads_every_order_but_contacts_are_for_those_who_call(
    tmp_path: Path,
) -> None:
    async with running_office(tmp_path, follow=False) as office:
        no = await office.order("contacts", delivery_address="Тверская 1")
        seen = {
            role: (await (await office.desk(role, f"the-{role}")).get(f"/orders/{no}"))["order"]
            for role in Role
        }

    for role in (Role.SELLER, Role.SUPPORT, Role.ADMIN):
        assert seen[role]["customer"]["name"] == "Анна Петрова"
        assert seen[role]["customer"]["phone"].endswith("45-67")
        assert seen[role]["delivery_address"] == "Тверская 1"
    for role in (Role.OPERATOR, Role.HEAD):
        assert seen[role]["customer"] == {
            "name": "А••• П•••",
            "email": None,
            "phone": "•••",
            "masked": True,
        }
        assert "Тверская" not in str(seen[role])


async def test_an_order_goes_from_a_form_to_the_parcel(tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        seller = await office.desk(Role.SELLER)
        operator = await office.desk(Role.OPERATOR, "olga")
        head = await office.desk(Role.HEAD)
        no = await office.order("road", Stage.PRICE_CALCULATED)

        stages = [(await seller.act(no, "approve")).json()["stage"]]
        await office.settle()
        taken = (await operator.send("POST", "/board/take-next")).json()
        for action in ("start", "done", "pack", "ship"):
            answer = (await operator.act(no, action, **ARGS[action])).json()
            assert answer["pending"] is False, answer
            stages.append(answer["stage"])
        stages.append((await head.act(no, "close", **ARGS["close"])).json()["stage"])
        page = await seller.get(f"/orders/{no}")
        feed = await seller.get(f"/orders/{no}/feed", level="technical")

    assert taken["order_no"] == no
    assert taken["row"]["claim"]["operator_name"] == "Olga"
    assert taken["why"][-1]["code"] == "waiting"
    assert stages == [
        "MANUFACTURING_APPROVED",
        "MANUFACTURING_STARTED",
        "MANUFACTURING_COMPLETED",
        "PACKAGING",
        "SHIPPED",
        "CLOSED",
    ]
    assert [step["state"] for step in page["journey"]] == ["skipped"] * 2 + ["done"] * 7 + [
        "current"
    ]
    assert {(hop["from"], hop["to"]) for hop in page["hops"]} >= {
        ("office", "office"),
        ("bridge", "mes"),
        ("bridge", "floor"),
        ("outbox", "inbox"),
    }
    assert [item["seq"] for item in feed["items"]] == list(range(len(feed["items"]), 0, -1))
    assert feed["items"][0]["actor"] == {
        "kind": "person",
        "id": "head",
        "name": "Head",
        "role": "head",
    }
    made = next(item for item in feed["items"] if item["kind"] == "order.completed")
    assert (made["source"], made["actor"]["name"]) == ("floor", "Olga")


async def test_who_acts_on_what_has_changed_is_told_the_new_version(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        no = await office.order("stale")
        desk = await office.desk(Role.SELLER)
        seen = (await desk.get(f"/orders/{no}"))["order"]["version"]

        first = await desk.act(no, "note", seen, text="first")
        second = await desk.act(no, "note", seen, text="second")

    assert first.json()["version"] == seen + 1
    assert (second.status_code, second.json()["version"]) == (409, seen + 1)
    assert second.json()["type"] == "/problems/stale-order"


async def test_when_the_order_does_not_follow_in_time_the_answer_says_so(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        no = await office.order("slow", Stage.MANUFACTURING_APPROVED)
        operator = await office.desk(Role.OPERATOR, "olga")
        claimed = await operator.act(no, "claim")

        started = await operator.act(no, "start")
        await office.settle()
        page = await operator.get(f"/orders/{no}")

    assert claimed.json()["pending"] is False
    assert started.json()["pending"] is True
    assert page["order"]["stage"] == "MANUFACTURING_STARTED"


async def test_nobody_works_on_what_another_has_taken(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        no = await office.order("taken", Stage.MANUFACTURING_APPROVED)
        olga = await office.desk(Role.OPERATOR, "olga")
        oleg = await office.desk(Role.OPERATOR, "oleg")
        await olga.act(no, "claim")

        refused = [await oleg.act(no, action) for action in ("claim", "start")]

    for answer in refused:
        assert answer.status_code == 409
        assert answer.json()["type"] == "/problems/transition-refused"
        assert "olga" in answer.json()["detail"]


async def test_an_operator_lifts_the_holds_they_placed_and_no_others(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        own, other = [await office.order(f"hold-{n}", Stage.PRICE_CALCULATED) for n in (1, 2)]
        olga = await office.desk(Role.OPERATOR, "olga")
        seller = await office.desk(Role.SELLER)
        await olga.act(own, "hold", **ARGS["hold"])
        await seller.act(other, "hold", **ARGS["hold"])

        offered = ["lift" in (await olga.get(f"/orders/{no}"))["can"] for no in (own, other)]
        answers = [await olga.act(no, "lift", **ARGS["lift"]) for no in (own, other)]

    assert offered == [True, False]
    assert [answer.status_code for answer in answers] == [200, 403]


async def test_what_a_page_offers_is_not_refused(tmp_path: Path) -> None:
    async with running_office(tmp_path) as office:
        for stage in Stage:
            if stage in {Stage.INITIATED, Stage.FILE_UPLOADED, Stage.CANCELLED}:
                continue
            for role in Role:
                await _every_offer_works(office, stage, role)


async def _every_offer_works(office: TestOffice, stage: Stage, role: Role) -> None:
    desk = await office.desk(role, f"the-{role}")
    no = await office.order(f"{stage}-{role}", stage)
    if stage is Stage.MANUFACTURING_APPROVED and role in {Role.OPERATOR, Role.HEAD}:
        claim = Cause(Actor(ActorKind.PERSON, desk.me["login"], role), "claim", "office", "0" * 32)
        await office.do(no, c.ClaimOrder(desk.me["login"]), claim)
    await office.settle()
    for action in (await desk.get(f"/orders/{no}"))["can"]:
        page = await desk.get(f"/orders/{no}")
        if action not in page["can"]:
            continue  # An action before it has changed the order.
        answer = await desk.act(no, action, page["order"]["version"], **ARGS[action])
        assert answer.status_code == 200, (stage, role, action, answer.text)
        await office.settle()
