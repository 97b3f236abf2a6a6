"""For every place where an order may stand: the last proof, the next one, the rule, what to do."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from orderkeep.bridge.moves import Delivery
from orderkeep.kernel.ids import order_no
from orderkeep.ledger import words
from orderkeep.ledger.explain import HOPS, RULES, Carriage, Explanation, Facts, explain, last_proof
from orderkeep.orders import commands as c
from orderkeep.orders import events as e
from orderkeep.orders.announce import PRICE_WANTED, WORK_ORDER_WANTED
from orderkeep.orders.order import Delivered, Stage
from orderkeep.testing.orders import NOON, SELLER, Story, a_draft, a_story

SOON, LATER = NOON + timedelta(seconds=30), NOON + timedelta(days=30)
NUMBER = order_no(1)


def facts(story: Story, *carriages: Carriage, **more: object) -> Facts:
    whole = Facts(NUMBER, True, story.order, story.history, carriages)
    return replace(whole, **more)  # type: ignore[arg-type]  # Whatever the case needs.


def way(story: Story, state: Delivered, *, due: bool = True) -> Delivery:
    next_at = NOON if due else None
    return Delivery(
        destination="mes", reference=story.reference, order_no=NUMBER, state=state, since=NOON,
        attempts=1, next_at=next_at, absent_seen=0, last_sent_at=None, holder=None, lease_token=0,
        recall_wanted=False, mes_id=None, detail="the MES was not reached",
    )  # fmt: skip


def approved(*states: Delivered) -> Story:
    story = a_story(Stage.PRICE_CALCULATED)
    story.do(c.ApproveOrder())
    if states:
        story.delivered(*states)
    return story


KEPT = Carriage(PRICE_WANTED, NOON)
SENT = replace(KEPT, sent_at=NOON)
RECEIVED = replace(SENT, received_at=NOON)
HANDLED = replace(RECEIVED, handled_at=NOON)
DEAD = replace(RECEIVED, dead_at=NOON)
WANTED = Carriage(WORK_ORDER_WANTED, NOON, NOON, NOON, NOON)


def sending() -> Facts:
    story = approved(Delivered.SENDING)
    return facts(story, way=way(story, Delivered.SENDING, due=False))


def pending() -> Facts:
    story = approved()
    return facts(story, WANTED, way=way(story, Delivered.PENDING))


def cancelled() -> Facts:
    story = a_story()
    story.do(c.CancelOrder("no"))
    return facts(story)


def held() -> Facts:
    story = a_story(Stage.PRICE_CALCULATED)
    story.do(c.PlaceHold("asked", "client", NOON + timedelta(days=1)))
    return facts(story)


def diverged() -> Facts:
    story = approved(Delivered.SENDING, Delivered.CONFIRMED)
    story.mes_says("melted")
    return facts(story)


CASES: dict[str, tuple[Callable[[], Facts], str, str | None, str | None, str | None, str]] = {
    # name: facts, state, last hop, next hop, rule, first thing to do
    "never given out": (lambda: Facts(NUMBER, False), "missing", None, "accepted", None, "check_number"),  # noqa: E501
    "given out and gone": (lambda: Facts(NUMBER, True), "missing", None, "accepted", "S1", "verify"),  # noqa: E501
    "no announcement": (lambda: facts(a_story()), "stuck", "accepted", "kept", "S6", "verify"),
    "not carried": (lambda: facts(a_story(), KEPT), "stuck", "kept", "sent", "relay", "look_at_broker"),  # noqa: E501
    "carried, not there": (lambda: facts(a_story(), SENT), "stuck", "sent", "received", "confirm", "look_at_broker"),  # noqa: E501
    "there, not handled": (lambda: facts(a_story(), RECEIVED), "stuck", "received", "handled", "worker", "look_at_workers"),  # noqa: E501
    "put aside": (lambda: facts(a_story(), DEAD), "stuck", "received", "handled", "quarantine", "dead_letters"),  # noqa: E501
    "handled for nothing": (lambda: facts(a_story(), HANDLED), "stuck", "handled", None, "S6", "verify"),  # noqa: E501
    "no price comes": (lambda: facts(a_story(), HANDLED, asked_at=NOON), "stuck", "handled", "priced", "engine", "enter_price"),  # noqa: E501
    "not approved": (lambda: facts(a_story(Stage.PRICE_CALCULATED)), "late", "priced", "approved", "late", "ask_seller"),  # noqa: E501
    "held": (held, "late", "priced", "approved", "late", "ask_client"),
    "the MES is away": (pending, "stuck", "approved", "confirmed", "away", "look_at_mes"),
    "being sent for days": (sending, "stuck", "intent", "confirmed", "away", "look_at_mes"),
    "unclear": (lambda: facts(approved(Delivered.SENDING, Delivered.UNCERTAIN)), "stuck", "intent", "confirmed", "S3", "decide"),  # noqa: E501
    "refused": (lambda: facts(approved(Delivered.SENDING, Delivered.REJECTED)), "stuck", "intent", "confirmed", "refused", "read_reason"),  # noqa: E501
    "given up": (lambda: facts(approved(Delivered.SENDING, Delivered.UNCERTAIN, Delivered.DEAD)), "stuck", "intent", "confirmed", "gave_up", "decide"),  # noqa: E501
    "the MES's word cannot be": (diverged, "stuck", "said", "said", "diverged", "settle"),
    "the MES lost it": (lambda: facts(a_story(Stage.MANUFACTURING_APPROVED), finding=("missing_there", "x")), "stuck", "said", "said", "S4", "reconcile"),  # noqa: E501
    "the MES differs": (lambda: facts(a_story(Stage.MANUFACTURING_APPROVED), finding=("differs", "x")), "stuck", "said", "said", "diverged", "reconcile"),  # noqa: E501
    "nobody takes it": (lambda: facts(a_story(Stage.MANUFACTURING_APPROVED)), "late", "said", "said", "late", "ask_operator"),  # noqa: E501
    "closed": (lambda: facts(a_story(Stage.CLOSED)), "rest", "said", None, None, ""),
    "cancelled": (cancelled, "rest", "accepted", None, None, ""),
    "a draft": (lambda: facts(a_draft()), "late", "accepted", "accepted", "late", "ask_seller"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_month_later_each_case_names_its_rule(name: str) -> None:
    make, state, last, following, rule, todo = CASES[name]

    found = explain(make(), LATER)

    seen = (
        found.state,
        found.last and found.last.hop,
        found.next and found.next.hop,
        found.rule,
        (found.todo or [""])[0],
    )
    assert seen == (state, last, following, rule, todo)


@pytest.mark.parametrize("name", ["not carried", "carried, not there", "there, not handled"])
def test_what_is_on_its_way_and_in_time_breaks_nothing(name: str) -> None:
    found = explain(CASES[name][0](), SOON)

    assert (found.state, found.rule, found.todo) == ("fine", None, ())


def test_who_has_time_left_is_only_waited_for() -> None:
    found = explain(facts(a_story(Stage.PRICE_CALCULATED)), SOON)

    assert found.state == "waiting"
    assert found.next is not None
    assert (found.next.hop, found.next.owner) == ("approved", "seller")


def test_the_last_proof_is_the_latest_and_the_furthest() -> None:
    story = a_story()
    later = replace(KEPT, kept_at=NOON + timedelta(minutes=1))

    assert last_proof(facts(story, later)) == last_proof(facts(story, SENT, later))
    proof = last_proof(facts(story, SENT))
    assert proof is not None
    assert proof.hop == "sent"


def test_a_note_proves_nothing() -> None:
    story = a_story()
    story.happen(e.NoteAdded("called"), actor=SELLER)

    proof = last_proof(facts(story))

    assert proof is not None
    assert proof.hop == "accepted"


def told(name: str) -> Explanation:
    return explain(CASES[name][0](), LATER)


@pytest.mark.parametrize("language", words.LANGUAGES)
@pytest.mark.parametrize("name", CASES)
def test_every_explanation_has_words_in_both_languages(name: str, language: str) -> None:
    found = told(name)

    said = [words.say(words.STATES, found.state, language)]
    said += [words.say(words.RULES, found.rule, language)] if found.rule else []
    said += [words.say(words.STEPS, todo, language) for todo in found.todo]
    for hop in (found.last, found.next):
        said += [words.say(words.HOPS, hop.hop, language)] if hop else []
    said += [words.say(words.OWNERS, found.next.owner, language)] if found.next else []
    assert all(said)


def test_every_code_has_words_that_are_no_copies() -> None:
    assert set(words.HOPS) == set(HOPS)
    assert set(words.RULES) == set(RULES)
    for table in (words.STATES, words.HOPS, words.RULES, words.STEPS, words.DIFFERENCES):
        for english, russian in table.values():
            assert english.isascii()
            assert not russian.isascii()
