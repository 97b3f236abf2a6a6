"""The real door on a loopback socket, for tests that knock on it from outside."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from orderkeep.access.keys import ApiKey, Partner, Quota, key_sha256, new_key
from orderkeep.adapters.files import LocalFiles
from orderkeep.adapters.sql.migrate import migrate
from orderkeep.adapters.sql.store import SqliteStore, open_store
from orderkeep.files.upload import Files
from orderkeep.http.admission import Admission
from orderkeep.http.door import DoorSettings, build_door
from orderkeep.http.edge import EdgeLimits
from orderkeep.http.serve import Served, run, serve
from orderkeep.http.sockets import listen
from orderkeep.intake.accept import Intake
from orderkeep.intake.checks import Catalogue
from orderkeep.intake.submission import SubmissionBody
from orderkeep.kernel.bells import Bells
from orderkeep.kernel.clock import SystemClock
from orderkeep.kernel.ids import Ids, PartnerId
from orderkeep.orders.master import OrderMaster
from orderkeep.orders.policy import Policy

T = TypeVar("T")
CATALOGUE = Catalogue(
    materials=frozenset({"ag925", "au585_yellow", "brass"}), skus=frozenset({"CHAIN-45"})
)
GENEROUS = Quota(rate=100_000, per_seconds=1)
MAX_FILE_BYTES = 4 * 1024 * 1024
_START_S = 150


@dataclass(frozen=True, slots=True)
class Keyed:
    """A partner with a key."""

    partner_id: PartnerId
    key_id: str
    key: str


class DoorUnderTest:
    """A door in a thread of its own; ``call`` runs a coroutine on its loop."""

    def __init__(
        self,
        folder: Path,
        limits: EdgeLimits | None = None,
        drain_s: int = 5,
        settings: DoorSettings | None = None,
        admission: Admission | None = None,
        *,
        sheds: bool = False,
    ) -> None:
        self.url = f"sqlite:///{folder / 'orderkeep.db'}"
        self.files_folder = folder / "files"
        self.catalogue = CATALOGUE
        self.lead_time = timedelta(days=21)
        self._limits = limits
        self._settings = settings or DoorSettings(wrong_keys=GENEROUS)
        self._admission = admission
        self._sheds = sheds
        self._drain = timedelta(seconds=drain_s)
        self._ids = Ids()
        self._clock = SystemClock()
        self._started: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, name="door-under-test")
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self.store: SqliteStore
        self.master: OrderMaster
        self.app: Any

    def start(self) -> None:
        """Return once it answers."""
        migrate(self.url)
        self._thread.start()
        self.port = self._started.result(_START_S)

    def stop(self) -> None:
        """Return once everything is closed."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine where the door runs."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_START_S)

    def write(self, unit: Callable[[Any], T]) -> T:
        """Run a unit of work."""
        return self.call(self.store.write(unit))

    def read(self, query: Callable[[Any], T]) -> T:
        """Run a query."""
        return self.call(self.store.read(query))

    def partner(self, name: str, quota: Quota = GENEROUS) -> Keyed:
        """A new partner with a key."""
        partner_id = PartnerId(self._ids.token(16))
        now = self._clock.now()
        partner = Partner(partner_id, name, None, now)
        self.write(lambda work: work.access.add_partner(partner))
        return self.key(partner_id, quota, now)

    def key(self, partner_id: PartnerId, quota: Quota, now: datetime) -> Keyed:
        """Another key of a partner."""
        key, key_id = new_key(self._ids), self._ids.token(16)
        kept = ApiKey(key_id, partner_id, key[:10], quota, now)
        self.write(lambda work: work.access.add_key(kept, key_sha256(key)))
        return Keyed(partner_id, key_id, key)

    def _run(self) -> None:
        try:
            run(self._main())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        policy = Policy()
        async with open_store(self.url, Bells(), serve=True) as self.store:
            self.master = OrderMaster(self.store, self._clock, self._ids, policy)
            self.app = self._door(policy)
            served = Served("door", self.app, listen("127.0.0.1", 0))
            port = served.port
            await serve(
                [served],
                self._stop,
                limits=self._limits,
                drain=self._drain,
                started=lambda: self._started.set_result(port),
            )

    def _door(self, policy: Policy) -> Any:
        def promise(_body: SubmissionBody, now: datetime) -> datetime:
            return now + self.lead_time

        async def ready() -> bool:
            return bool(self.store.health())

        store, clock, ids = self.store, self._clock, self._ids
        keeper = LocalFiles(self.files_folder)
        return build_door(
            store=store,
            intake=Intake(
                store, store.accepting(policy), lambda: self.catalogue, promise, clock, ids
            ),
            files=Files(store, keeper, clock, ids, max_bytes=MAX_FILE_BYTES),
            master=self.master,
            find_key=lambda digest: store.read(lambda work: work.access.key_holder(digest)),
            clock=clock,
            ids=ids,
            ready=ready,
            settings=self._settings,
            admission=self._admission,
            sheds=self._sheds,
        )
