"""Every role's real work, each over a store that is signed in as that role's own user."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from orderkeep.access.keys import OFFICE, Partner, new_key
from orderkeep.access.people import Person
from orderkeep.access.rights import Role
from orderkeep.adapters.passwords import Argon2Passwords
from orderkeep.adapters.sql.postgres.grants import PREFIX, ROLES, grant, user
from orderkeep.adapters.sql.postgres.store import open_store
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bench.door import tetrahedron
from orderkeep.bench.partner import let_in
from orderkeep.bench.places import Place
from orderkeep.bench.server import serving
from orderkeep.config import Settings
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.ids import Ids, PersonId
from orderkeep.roles.applications import door_app, office_app
from orderkeep.roles.parts import Parts, build
from orderkeep.roles.workers import workers
from orderkeep.testing.postgres_server import PostgresServer

PASSWORD = "correct horse battery"
DEADLINE_S = 60.0
WORKERS = ("relay", "quoter", "bridge", "watch")
ROUNDS = 6
"""After so many turns of every worker an order is where it stays."""


class Caller:
    """Somebody who calls one of the two applications, and is never told that it failed.

    Without an ``app`` it is a process that listens at ``place``.
    """

    def __init__(self, app: Any, place: str, **headers: str) -> None:
        transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 1)) if app else None
        self._http = httpx.AsyncClient(
            transport=transport,
            base_url=place,
            headers=headers,
            trust_env=False,
            timeout=DEADLINE_S,
        )

    async def __call__(self, method: str, path: str, json: Any = None, **more: Any) -> Any:
        answer = await self._http.request(method, path, json=json, **more)
        assert answer.status_code < 400, (method, path, answer.text)
        return answer.json() if answer.content else None

    async def close(self) -> None:
        await self._http.aclose()


class House:
    """All roles of one maker, each with its own user."""

    def __init__(self, parts: dict[str, Parts], key: str) -> None:
        self.parts = parts
        door = door_app(parts["door"])
        self.partner = Caller(door, "http://door", Authorization=f"Bearer {key}")
        office = office_app(parts["office"])
        side = {"X-Requested-With": "orderkeep"}
        self.people = {role: Caller(office, "http://office/office/v1", **side) for role in Role}

    async def sign_in(self) -> None:
        for role, person in self.people.items():
            await person("POST", "/session", {"login": str(role), "password": PASSWORD})

    async def work(self) -> None:
        """Let every worker do what there is to do."""
        for role in WORKERS * ROUNDS:
            for worker in workers(self.parts[role]):
                while worker.role == role and await worker.step():
                    pass

    async def version(self, no: str) -> int:
        page = await self.people[Role.OPERATOR]("GET", f"/orders/{no}")
        return int(page["order"]["version"])

    async def act(self, role: Role, no: str, act: str, **more: str) -> None:
        body = {"version": await self.version(no), **more}
        await self.people[role]("POST", f"/orders/{no}/{act}", body)
        await self.work()


async def prepared(url: str) -> str:
    """Users with their rights, people, and a partner; returns its key."""
    await grant(url, PREFIX, {})
    ids, now, key = Ids(), SystemClock().now(), new_key(Ids())
    hashed = await Argon2Passwords().hash(PASSWORD)
    async with await open_store(url, Bells()) as store:
        await store.write(lambda work: let_in(work, key))
        house = Partner(OFFICE, "Office", None, now)
        await store.write(lambda work: work.access.add_partner(house))
        await store.write(lambda work: _add_people(work, ids, hashed))
    return key


def _add_people(work: SqlWork, ids: Ids, hashed: str) -> None:
    now = SystemClock().now()
    for role in Role:
        name = str(role)
        work.access.add_person(Person(PersonId(ids.token(8)), name, name, role, "en", now), hashed)


@asynccontextmanager
async def a_house(url: str, folder: Path) -> AsyncIterator[House]:
    key = await prepared(url)
    async with AsyncExitStack() as stack:
        parts = {}
        for role in ROLES:
            own = url.replace("orderkeep@", f"{user(role)}@")
            files = f"file://{folder / 'files'}"
            settings = Settings(database_url=own, files_url=files, quoter_workers=1)
            parts[role] = await build(settings, stack, roles=frozenset({role}))
        house = House(parts, key)
        for caller in (house.partner, *house.people.values()):
            stack.push_async_callback(caller.close)
        await house.sign_in()
        yield house


async def an_order(house: House, ref: str, **item: Any) -> str:
    body = {"client_ref": ref, "items": [{"quantity": 1, **item}], "customer": {"name": "Anna"}}
    made = await house.partner("POST", "/v1/orders", body, headers={"Idempotency-Key": ref})
    return str(made["order_no"])


async def test_an_order_goes_its_whole_way_through_users_who_may_no_more_than_they_need(
    postgres: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    log = postgres.folder / "log"
    before = log.stat().st_size
    async with a_house(postgres_url, tmp_path) as house:
        seller, operator = house.people[Role.SELLER], house.people[Role.OPERATOR]
        head, admin = house.people[Role.HEAD], house.people[Role.ADMIN]

        file = await house.partner("POST", "/v1/files?name=ring.stl", content=tetrahedron())
        cast = await an_order(house, "cast", material="ag925", file_id=file["file_id"])
        ready = await an_order(house, "ready", sku="studs-ag")
        unwanted = await an_order(house, "unwanted", sku="studs-ag")
        again = await an_order(house, "ready", sku="studs-ag")
        await house.work()
        await house.partner("POST", f"/v1/orders/{unwanted}/cancel", {"reason": "too late"})
        for no in (cast, ready):
            await house.act(Role.SELLER, no, "approve")
        taken = (await operator("POST", "/board/take-next", {}))["order_no"]
        for act in ("start", "done", "pack"):
            await house.act(Role.OPERATOR, taken, act)
        await house.act(Role.OPERATOR, taken, "ship", tracking_no="T1")
        for path in (f"/orders/{taken}", "/orders", "/events"):
            await house.partner("GET", f"/v1{path}")
        for path in ("/board", "/board/counts", "/approvals", "/search?q=cast", f"/orders/{taken}"):
            await seller("GET", path)
        for path in ("/balance", f"/orders/{taken}/explain", "/operators", "/me", "/catalogue"):
            await head("GET", path)
        await house.people[Role.SUPPORT]("POST", "/reconciliation/start", {})
        await seller("PUT", "/views", {"name": "mine", "query": "stage=SHIPPED"})
        await seller("POST", "/files?name=a.stl", content=tetrahedron())
        await admin("GET", "/people")
        await admin("POST", "/partners", {"name": "Another"})
        await house.work()
        await seller("DELETE", "/session")

        shown = await house.partner("GET", f"/v1/orders/{taken}")
        healths = [parts.store.health()["failing"] for parts in house.parts.values()]
    said = await asyncio.to_thread(log.read_text, encoding="utf-8")
    assert again == ready
    assert shown["stage"] == "SHIPPED"
    assert healths == [0] * len(ROLES)
    assert [line for line in said[before:].splitlines() if "permission denied" in line] == []


async def test_an_order_goes_its_whole_way_through_seven_processes(
    postgres: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    log = postgres.folder / "log"
    before = log.stat().st_size
    key = await prepared(postgres_url)
    async with AsyncExitStack() as stack:
        servers = await asyncio.gather(
            *[
                stack.enter_async_context(serving(place(postgres_url, tmp_path, role), (role,)))
                for role in ROLES
            ]
        )
        ports = {name: port for server in servers for name, port in server.ports.items()}
        partner = Caller(None, f"http://127.0.0.1:{ports['door']}", Authorization=f"Bearer {key}")
        office = f"http://127.0.0.1:{ports['office']}/office/v1"
        side = {"X-Requested-With": "orderkeep"}
        seller, operator = Caller(None, office, **side), Caller(None, office, **side)
        for person, role in ((seller, Role.SELLER), (operator, Role.OPERATOR)):
            await person("POST", "/session", {"login": str(role), "password": PASSWORD})
        for caller in (partner, seller, operator):
            stack.push_async_callback(caller.close)

        body = {
            "client_ref": "A-1",
            "items": [{"quantity": 1, "sku": "studs-ag"}],
            "customer": {"name": "Anna"},
        }
        made = await partner("POST", "/v1/orders", body, headers={"Idempotency-Key": "A-1"})
        no = made["order_no"]
        priced = await reached(partner, no, "PRICE_CALCULATED")
        page = await seller("GET", f"/orders/{no}")
        await seller("POST", f"/orders/{no}/approve", {"version": page["order"]["version"]})
        await at_mes(partner, no)
        taken = await operator("POST", "/board/take-next", {})
        for act, stage in (
            ("start", "MANUFACTURING_STARTED"),
            ("done", "MANUFACTURING_COMPLETED"),
            ("pack", "PACKAGING"),
        ):
            page = await operator("GET", f"/orders/{no}")
            await operator("POST", f"/orders/{no}/{act}", {"version": page["order"]["version"]})
            await reached(partner, no, stage)

    said = await asyncio.to_thread(log.read_text, encoding="utf-8")
    assert taken["order_no"] == no
    assert priced["price"] is not None
    assert set(ports) == {"door", "office"}
    assert [line for line in said[before:].splitlines() if "permission denied" in line] == []


def place(url: str, folder: Path, role: str) -> Place:
    """The same database and files, as one role sees them."""
    return Place(url.replace("orderkeep@", f"{user(role)}@"), folder)


async def reached(partner: Caller, no: str, stage: str) -> Any:
    """The order, once it is at a stage."""
    return await until(partner, no, lambda order: order["stage"] == stage)


async def at_mes(partner: Caller, no: str) -> Any:
    """The order, once the workshop has said that it has it."""
    return await until(partner, no, lambda order: order["delivery"]["mes"] == "applied")


async def until(partner: Caller, no: str, seen: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            order = await partner("GET", f"/v1/orders/{no}")
            if seen(order):
                return order
            await asyncio.sleep(0.1)
