"""The office's own door: sign-in, cookies, other sites, the web application, health."""

import re
from datetime import timedelta
from pathlib import Path

from openapi_spec_validator import validate

from orderkeep.access.rights import Role
from orderkeep.board import filters
from orderkeep.http.office.parts import OfficeSettings
from orderkeep.testing.office import PASSWORD, running_office

SIGN_IN = "/office/v1/session"


async def test_the_cookie_is_for_our_pages_only_and_the_token_is_kept_as_a_hash(
    tmp_path: Path,
) -> None:
    settings = OfficeSettings(secure_cookies=True)
    async with running_office(tmp_path, follow=False, settings=settings) as office:
        await office.add_person("anna", Role.SELLER)
        async with office.client() as browser:
            body = {"login": " Anna ", "password": PASSWORD}
            answer = await browser.post(SIGN_IN, json=body)
        kept = await office.store.read(
            lambda work: work.raw.execute("SELECT token_sha256 FROM sessions").fetchall()
        )

    cookie = answer.headers["set-cookie"]
    token = cookie.partition("=")[2].partition(";")[0]
    parts = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "secure", "samesite=strict", "path=/", "max-age=43200"} <= parts
    assert len(token) == 43
    assert token not in str(kept)


async def test_a_wrong_password_and_an_unknown_login_look_the_same(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        await office.add_person("anna", Role.SELLER)
        async with office.client() as browser:
            answers = [
                await browser.post(SIGN_IN, json={"login": login, "password": "wrong one"})
                for login in ("anna", "nobody")
            ]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].content == answers[1].content
    assert answers[0].json()["type"] == "/problems/wrong-credentials"


async def test_after_ten_wrong_passwords_the_right_one_has_to_wait_too(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        await office.add_person("anna", Role.SELLER)
        async with office.client() as browser:
            wrong = [
                await browser.post(SIGN_IN, json={"login": "anna", "password": f"wrong {n}"})
                for n in range(10)
            ]
            right = {"login": "anna", "password": PASSWORD}
            now = await browser.post(SIGN_IN, json=right)
            office.clock.advance(timedelta(minutes=16))
            later = await browser.post(SIGN_IN, json=right)

    assert {answer.status_code for answer in wrong} == {401}
    assert (now.status_code, later.status_code) == (429, 200)
    assert int(now.headers["retry-after"]) > 0


async def test_a_session_ends_twelve_hours_after_its_last_use(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        desk = await office.desk(Role.SELLER)
        for _ in range(3):
            office.clock.advance(timedelta(hours=11))
            await desk.get("/me")
        office.clock.advance(timedelta(hours=13))

        answer = await desk.send("GET", "/me")

    assert answer.status_code == 401
    assert answer.json()["type"] == "/problems/not-signed-in"


async def test_signing_out_and_being_disabled_end_a_session_at_once(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        seller, admin = await office.desk(Role.SELLER), await office.desk(Role.ADMIN)
        other = await office.desk(Role.SUPPORT)

        await admin.send("PATCH", f"/people/{seller.me['id']}", {"active": False})
        cookie = dict(other.http.cookies)
        await other.send("DELETE", "/session")
        other.http.cookies.update(cookie)
        answers = [await desk.send("GET", "/me") for desk in (seller, other)]

    assert [answer.status_code for answer in answers] == [401, 401]


async def test_another_site_cannot_act_in_a_persons_name(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        desk = await office.desk(Role.SELLER)
        view = {"name": "mine", "query": "stage=SHIPPED"}
        ours = await desk.send("PUT", "/views", view, Origin=office.url)
        foreign = await desk.send("PUT", "/views", view, Origin="https://evil.example")
        opaque = await desk.send("PUT", "/views", view, Origin="null")
        del desk.http.headers["x-requested-with"]
        plain = await desk.send("PUT", "/views", view)

    assert ours.status_code == 200
    assert [answer.status_code for answer in (foreign, opaque, plain)] == [403, 403, 403]


async def test_nothing_of_the_staffs_side_answers_without_a_session(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office, office.client() as browser:
        paths = [
            (method, route.path_format)
            for route in office.app.litestar.routes
            if route.path_format.startswith("/office/v1")
            for method in (getattr(route, "methods", None) or ["GET"])
            if method != "OPTIONS"
        ]
        answers = {
            (method, path): await browser.request(
                method,
                re.sub(r"\{\w+\}", "1", path.replace("{no}", "OK-000013")),
                json={"version": 1},
            )
            for method, path in paths
            if path != SIGN_IN
        }

    assert len(answers) > 40
    for place, answer in answers.items():
        assert answer.status_code == 401, place


async def test_a_missing_build_is_said_plainly_and_the_api_still_answers(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office, office.client() as browser:
        page = await browser.get("/board", headers={"accept": "text/html"})
        health = await browser.get("/healthz")
        unknown = await browser.get("/office/v1/nothing", headers={"accept": "text/html"})

    assert page.status_code == 503
    assert "make web" in page.text
    assert health.json() == {"status": "ok"}
    assert unknown.status_code == 404
    assert unknown.headers["content-type"] == "application/problem+json"


async def test_pages_are_never_kept_and_hashed_assets_for_ever(tmp_path: Path) -> None:
    built = tmp_path / "static"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text("<!doctype html><title>orderkeep</title>")
    (built / "assets" / "app-1a2b.js").write_text("export {}")
    (tmp_path / "secret.txt").write_text("not for you")
    settings = OfficeSettings(static_dir=built)
    async with (
        running_office(tmp_path, follow=False, settings=settings) as office,
        office.client() as browser,
    ):
        html = {"accept": "text/html"}
        pages = [await browser.get(path, headers=html) for path in ("/", "/orders/OK-000013")]
        asset = await browser.get("/assets/app-1a2b.js")
        outside = [
            await browser.get(path, headers=html)
            for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/assets/none.js")
        ]

    for page in pages:
        assert "<title>orderkeep</title>" in page.text
        assert page.headers["cache-control"] == "no-cache"
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert "script-src 'self';" in page.headers["content-security-policy"]
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["referrer-policy"] == "no-referrer"
    assert "immutable" in asset.headers["cache-control"]
    assert asset.headers["content-type"].startswith(("text/javascript", "application/javascript"))
    assert [answer.status_code for answer in outside] == [404, 404, 404]


async def test_readiness_and_metrics_tell_what_waits(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office, office.client() as browser:
        await office.order("waits")
        office.clock.advance(timedelta(seconds=30))

        ready = (await browser.get("/readyz")).json()
        metrics = (await browser.get("/metrics")).text

    assert ready["status"] == "ready"
    assert ready["store"]["journal_mode"] == "wal"
    assert ready["store"]["synchronous"] == 2
    assert 'orderkeep_orders{stage="SUBMITTED"} 1.0' in metrics
    assert "orderkeep_outbox_unsent 1.0" in metrics
    assert "orderkeep_outbox_oldest_seconds 30.0" in metrics
    assert 'orderkeep_http_requests_total{port="office",status="2xx"}' in metrics


async def test_the_description_of_the_api_is_valid_and_tells_every_body(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office, office.client() as browser:
        desk = await office.desk(Role.SELLER)
        stranger = await browser.get("/openapi.json")
        described = (await desk.http.get("/openapi.json")).json()

    validate(described)
    hold = described["paths"]["/office/v1/orders/{no}/hold"]["post"]["requestBody"]
    assert hold["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/HoldIt"}
    assert stranger.status_code == 401


async def test_what_a_list_is_asked_by_is_described_and_every_word_of_it_is_taken(
    tmp_path: Path,
) -> None:
    async with running_office(tmp_path, follow=False) as office:
        desk = await office.desk(Role.SELLER)
        described = (await desk.http.get("/openapi.json")).json()
        asked = described["paths"]["/office/v1/board"]["get"]["parameters"]
        words = {one["name"]: one["schema"] for one in asked}
        answers = [
            await desk.send("GET", f"/board?{name}={word}")
            for name, schema in words.items()
            for word in schema.get("items", schema).get("enum", [])
        ]

    assert set(words) == filters.PARAMETERS
    assert words["sort"]["enum"] == ["rank", "due", "changed"]
    assert len(answers) > 20
    assert {answer.status_code for answer in answers} == {200}


async def test_all_faults_of_a_body_come_at_once_and_none_is_a_500(tmp_path: Path) -> None:
    async with running_office(tmp_path, follow=False) as office:
        no = await office.order("faults")
        desk = await office.desk(Role.SELLER)
        path = f"/office/v1/orders/{no}/hold"
        bodies = [
            b"",
            b"[]",
            b"\xff\xfe{}",
            b'{"version": 1, "version": 2}',
            b'{"version": NaN}',
            b"[" * 5000,
            b"x" * 300_000,
        ]
        wrong = {"version": 0, "owner": "me", "until": "soon", "reason": ""}

        many = await desk.send("POST", f"/orders/{no}/hold", wrong)
        hostile = [await desk.http.post(path, content=body) for body in bodies]
        asked = [
            await desk.send("GET", f"/board?{query}")
            for query in ("stage=NOWHERE", "after=rubbish", "limit=x", "sort=up", "unknown=1")
        ]

    pointers = {fault["pointer"] for fault in many.json()["errors"]}
    assert many.status_code == 422
    assert pointers >= {"/version", "/owner", "/reason"}
    assert all(400 <= answer.status_code < 500 for answer in hostile)
    assert [answer.status_code for answer in asked] == [422] * 5
