"""The road of some orders in one thread, where time and faults come from a seed.

The parts are the product's own, the store is its SQL in memory. Crashes strike at failpoints,
requests outlive the process that sent them, steps of all roles interleave at every commit and
every call, envelopes come late, twice and in any order, the disk fails, the clock jumps. Afterwards
everything heals, and the promise is checked against what the MES really did (``promise.py``).
"""

from asyncio import Future, Task
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from orderkeep.adapters.sql.instants import to_micros
from orderkeep.adapters.sql.work import SqlWork
from orderkeep.bridge.moves import Delivery
from orderkeep.bridge.ports import Capabilities
from orderkeep.bridge.telling import DESTINATION
from orderkeep.files.ports import StoredFile
from orderkeep.files.upload import STORED
from orderkeep.kernel import failpoints
from orderkeep.kernel.errors import CommitOutcomeUnknown, OrderkeepError, StoreBusy
from orderkeep.kernel.ids import FileId
from orderkeep.orders.order import FINAL, Delivered, Order, Stage, return_is_open
from orderkeep.orders.policy import Policy
from orderkeep.testing import promise
from orderkeep.testing.book import Book
from orderkeep.testing.faults import Crash, Faults, plan
from orderkeep.testing.loop import SimLoop
from orderkeep.testing.mes import FAULTS, LAG, SimMes
from orderkeep.testing.people import PARTNER, Client, People
from orderkeep.testing.process import NOON, Ground, Process, SimClock, SimIds, hash_of, start
from orderkeep.testing.store import SimStore

ORDERS = 5
STEPS = 40
DRIVES = 8
SETTLING_ROUNDS = 400
"""More than any history has needed by far; one that does not come to rest is a defect."""
_WORK = {
    "inbox": "SELECT 1 FROM inbox WHERE consumer = ? AND handled_at IS NULL LIMIT 1",
    "relay": "SELECT 1 FROM outbox WHERE sent_at IS NULL LIMIT 1",
    "price": "SELECT 1 FROM price_jobs WHERE state <> 'done' LIMIT 1",
    "send": "SELECT 1 FROM deliveries WHERE next_at IS NOT NULL OR state = 'sending' LIMIT 1",
    "watch": "SELECT 1 FROM orders WHERE timer_at NOT BETWEEN ?1 AND ?1 + 3600000000 LIMIT 1",
}
_SELDOM = (
    "bridge.after_look",
    "bridge.after_recall",
    "pace.before_keep",
    "pace.after_keep",
    "feed.before_keep",
    "feed.after_keep",
    "watch.after_tick",
)
_ARRIVED = frozenset({Delivered.CONFIRMED, Delivered.RECEIVED, Delivered.APPLIED})


class World:
    """One history, wholly determined by its seed."""

    def __init__(
        self, seed: int, store: SimStore, folder: Path, log: Callable[[str], None] | None = None
    ) -> None:
        self.seed = seed
        self.chance = Random(seed)
        self.store = store
        self.loop = SimLoop()
        self.clock = SimClock()
        self.policy = Policy()
        self.log = log or _silent
        names = sorted(failpoints.FAILPOINTS)
        self.aim = names[seed % len(names)]
        self._shape(folder)
        self.ids = SimIds(self.chance)
        self.book = Book(store)
        self.faults = self._plan()
        self.sim_mes = None if self.on_floor else self._mes()
        self.clients = [self._client(n) for n in range(ORDERS)]
        self.people = People(self)
        self.kept_files: dict[FileId, str] = {}
        self._asleep: list[Future[None]] = []
        self._tasks: list[Task[Any]] = []
        self._busy: dict[str, Task[Any]] = {}
        self._crashes = 0
        store.reset()
        store.held = False
        store.write_now(_add_partner)
        if self.folder is None:
            store.write_now(self._fill_shelf)
        store.held = True
        failpoints.install(self.faults.pass_by)
        self._ground = Ground(
            store,
            self.clock,
            self.ids,
            self.faults,
            self.policy,
            self.sim_mes,
            self.folder,
            self.trusting,
            self._measure_slowly,
            handed_over=seed // len(names) % 2 == 1,
        )
        self.process = self._start()

    # --- one history ----------------------------------------------------------------------------

    def run(self) -> None:
        """Live through faults, heal, and check the promise."""
        try:
            self._live()
            self._heal()
            promise.check(self)
        finally:
            failpoints.install(None)

    def _live(self) -> None:
        for _ in range(STEPS):
            self._one_step()
        drives = 0
        most = 2 * DRIVES if self.aim in _SELDOM else DRIVES
        while self.faults.open and drives < most:
            drives += 1
            self._drive()
        while self.faults.total < 2:
            self.faults.anywhere = True
            self._drive()

    def _one_step(self) -> None:
        roll = self.chance.random()
        if roll < 0.4:
            action = self.chance.choice(self.people.choices())
            self.log(f"people: {action.__name__}")
            self.do(action())
        elif roll < 0.85:
            self._run_role(self.chance.choice(list(self.process.steps)))
        elif roll < 0.95:
            self._pass_time()
        else:
            self._wake_one()

    def _drive(self) -> None:
        """Everyone does their part once: what is planned to strike gets its chance."""
        for action in self.chance.sample(self.people.choices(), 5):
            self.log(f"people: {action.__name__}")
            self.do(action())
        for name in self.chance.sample(list(self.process.steps), len(self.process.steps)):
            if self._has_work(name):
                self._run_role(name)
        self._pass_time()
        self._wake_one()

    # --- how this history differs ---------------------------------------------------------------

    def _shape(self, folder: Path) -> None:
        """The kind of history, so that what is aimed at can be reached."""
        chance, aim = self.chance, self.aim
        self.on_floor = aim.startswith("floor.") or (
            not aim.startswith(("bridge.after_", "pace.", "feed.")) and chance.random() < 0.45
        )
        self.folder = folder if aim.startswith("file.") or chance.random() < 0.05 else None
        self.cancelling = 0.8 if aim == "bridge.after_recall" else 0.25
        self.trusting = chance.random() < 0.4
        self.finishing = chance.random() < 0.35

    def _plan(self) -> Faults:
        faults = self.chance.choices(
            FAULTS, k=0 if self.on_floor else self.chance.choice((1, 2, 3))
        )
        if self.aim == "bridge.after_look":
            faults.append(self.chance.choice(("lost", "done_then_lost", "slow_then_lost")))
        if self.aim.startswith("pace."):
            faults.append("full")
        planned = plan(self.chance, self.aim, self._reachable(), faults)
        if self.aim in _SELDOM:
            planned.crashes[0] = (self.aim, 1)
        if self.aim == "watch.after_tick":
            planned.jump = timedelta(days=4)
        return planned

    def _reachable(self) -> list[str]:
        """Failpoints that a history of this shape passes without being aimed at them."""
        # A history has no present system to take over from, and no CRM.
        foreign = ("source.", "crm.") if self.on_floor else ("floor.", "source.", "crm.")
        absent = (*foreign, *(() if self.folder else ("file.",)), *_SELDOM)
        return [name for name in sorted(failpoints.FAILPOINTS) if not name.startswith(absent)]

    def _mes(self) -> SimMes:
        looking = self.aim == "bridge.after_look"
        ways = Capabilities(
            idempotency="none" if looking else self.chance.choice(("none", "none", "key")),
            lookup=looking or self.chance.random() < 0.85,
            recall=self.aim == "bridge.after_recall" or self.chance.random() < 0.8,
            listing=True,
            visibility_lag=LAG,
            tells=self.aim.startswith("feed.") or self.chance.random() < 0.3,
        )
        return SimMes(self.chance, self.faults, self.clock.truly, self._sleep, ways)

    def _client(self, n: int) -> Client:
        content = None
        if self.folder and (n == 0 or self.chance.random() < 0.4):
            content = self.chance.randbytes(40)
        by_hand = self.chance.random() < 0.15
        client = Client(f"ref-{n}", f"key-{n}", by_hand, content)
        if self.folder is None and self.chance.random() < 0.3:
            client.file_id = f"file-{n}"
        return client

    def _fill_shelf(self, work: SqlWork) -> None:
        """Files that are there from the beginning; what is in them is the engine's business."""
        for client in self.clients:
            if client.file_id:
                sha256 = hash_of(client.file_id.encode() + self.chance.randbytes(2))
                file = StoredFile(
                    FileId(client.file_id), PARTNER, "key-1", sha256, 40, "ring.stl", STORED, NOON
                )
                work.files.add(file)

    # --- time -----------------------------------------------------------------------------------

    def _pass_time(self) -> None:
        self.clock.true += timedelta(seconds=self.chance.choice((1, 3, 5, 10, 60)))
        if self.faults.jump and self.chance.random() < 0.3:
            self.log(f"clock jumps by {self.faults.jump}")
            self.clock.off += self.faults.jump
            self.faults.jump = None
            self.faults.struck["clock jump"] += 1
        if self.sim_mes:
            self.sim_mes.catch_up()

    def _wake_one(self) -> None:
        if self._asleep:
            sleeper = self._asleep.pop(self.chance.randrange(len(self._asleep)))
            if not sleeper.done():
                sleeper.set_result(None)
        self._go_on()

    def _sleep(self) -> "Future[None]":
        sleeper = self.loop.create_future()
        self._asleep.append(sleeper)
        return sleeper

    def _measure_slowly(self) -> "Future[None]":
        """Until it is woken; meanwhile the client may send another file."""
        if self.chance.random() < 0.5:
            self.begin(self.people.replace_measured())
        return self._sleep()

    # --- the process ----------------------------------------------------------------------------

    def begin(self, doing: Coroutine[Any, Any, Any]) -> "Task[Any]":
        """Let something begin; it goes on when everything else does."""
        task = self.loop.create_task(doing)
        self._tasks.append(task)
        return task

    def do(self, doing: Coroutine[Any, Any, Any]) -> None:
        """Let something begin, and everything go on that need not be woken."""
        self.begin(doing)
        self._go_on()
        if self.faults.dead:
            self._restart()

    def _run_role(self, name: str) -> None:
        """A loop does its next step, when it has finished the one before."""
        busy = self._busy.get(name)
        if busy is None or busy.done():
            self.log(f"role: {name}")
            self._busy[name] = self.begin(self._step(self.process.steps[name]))
        self._go_on()
        if self.faults.dead:
            self._restart()

    def _has_work(self, name: str) -> bool:
        """Whether a role may find something: a look that is cheaper than its step."""
        query = _WORK.get(name.partition(" ")[0])
        if query is None:
            return True
        given = {"inbox": name.partition(" ")[2], "watch": to_micros(self.clock.now())}
        value = given.get(name.partition(" ")[0])
        found = self.store.raw.execute(query, () if value is None else (value,))
        return found.fetchone() is not None

    async def _step(self, step: Callable[[], Awaitable[Any]]) -> None:
        try:
            await step()
        except OrderkeepError as failure:
            # As roles/loops.py: logged, and tried again later. Only a failing disk excuses it.
            if not isinstance(failure, StoreBusy | CommitOutcomeUnknown):
                raise

    def _go_on(self) -> None:
        """Run until everything waits for a sleeper, or for a commit that comes later."""
        while True:
            self.loop.run_ready(lambda: self.faults.dead)
            self._bury()
            if self.faults.dead or not self.store.waiting or not self._commit():
                return

    def _commit(self) -> bool:
        """Put on disk what waits; False when it waits longer."""
        odds = self.faults.odds
        if self.faults.strikes("commit late", odds.commit_late):
            self.log(f"commit of {self.store.waiting} comes later")
            return False
        try:
            if self.faults.strikes("store busy", odds.store_busy):
                self.store.fail(StoreBusy("disk full"), kept=False)
            elif self.faults.strikes("commit unknown", odds.commit_unknown):
                kept = self.chance.random() < 0.5
                self.store.fail(CommitOutcomeUnknown("disk failed"), kept=kept)
            else:
                self.store.flush()
        except Crash as crash:
            self.log(f"CRASH at {crash}")
        return True

    def _bury(self) -> None:
        done = [task for task in self._tasks if task.done()]
        self._tasks = [task for task in self._tasks if not task.done()]
        for task in done:
            failure = None if task.cancelled() else task.exception()
            if isinstance(failure, Crash):
                self.log(f"CRASH at {failure}")
            elif failure is not None and not self.faults.dead:
                raise failure

    def _restart(self) -> None:
        """The next process over the same disk; it may die at once."""
        while self.faults.dead:
            self._kill_all()
            self.faults.dead = False
            self._crashes += 1
            self.process = self._start()
            self.log("restart")
            self.begin(self._recover(self.process))
            self._go_on()
            while self.store.waiting and not self.faults.dead:
                self._go_on()
            if not self.faults.dead:
                promise.nothing_is_held(self)

    def _kill_all(self) -> None:
        self.store.abandon()
        for task in self._tasks:
            task.cancel()
        self.loop.run_ready(lambda: False)
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.exception()
        self.store.abandon()
        self._tasks, self._busy, self._asleep = [], {}, []

    async def _recover(self, process: Process) -> None:
        """As roles/workers.py does before anything else; without a disk there is no start."""
        try:
            await process.bridge.recover()
            await process.desk.recover()
            await self.store.write(lambda work: work.outbox.release_all())
        except (StoreBusy, CommitOutcomeUnknown):
            self.faults.dead = True

    def _start(self) -> Process:
        return start(self._ground, f"process-{self._crashes}")

    # --- afterwards -----------------------------------------------------------------------------

    def _heal(self) -> None:
        """No more faults; everyone does their work until nothing changes."""
        self.log("everything heals")
        self.faults.end()
        if self.faults.dead:
            self._restart()
        promise.nothing_denied_is_there(self)
        still, pause = 0, timedelta(seconds=3)
        for _ in range(SETTLING_ROUNDS):
            before = self._fingerprint()
            self._heal_round(pause)
            changed = self._fingerprint() != before
            still = 0 if changed else still + 1
            pause = timedelta(seconds=3) if changed else min(pause * 2, timedelta(hours=1))
            if not changed and not self._restless():
                return
            if still > 12:  # The clock has gone on for hours, and nobody has moved.
                break
        raise AssertionError(f"does not come to rest: {self._restless()}")

    def _heal_round(self, pause: timedelta) -> None:
        while self._asleep:
            self._wake_one()
        self.clock.true += pause
        if self.sim_mes:
            self.sim_mes.catch_up()
        for client in self.clients:
            if not client.submitted:
                self.do(self.people.ask(client))
        for name in self.process.steps:
            if self._has_work(name):
                self._run_role(name)
        for order in self.orders():
            self.do(self.people.see_to(order))
        if self.finishing:
            for _ in range(2):
                self.do(self.people.work())

    def _fingerprint(self) -> tuple[Any, ...]:
        return tuple((order.no, order.version) for order in self.orders())

    def _restless(self) -> list[str]:
        """Orders that still have somewhere to go without anybody's wish."""
        return (
            [
                f"{order.no} {order.stage} price {order.price.state}"
                f" work order {order.work_order and order.work_order.delivered}"
                f" cancel {order.cancel_request} hold {order.hold} diverged {order.diverged}"
                for order in self.orders()
                if not _at_rest(order)
            ]
            + promise.left_over(self)
            + [one.ref for one in self.clients if not one.submitted]
        )

    # --- looking --------------------------------------------------------------------------------

    def orders(self) -> list[Order]:
        """All orders as they are now."""
        return self.book.orders()

    def delivery(self, order: Order) -> Delivery | None:
        """How far the order's present work order is on its way."""
        reference = order.work_order.reference if order.work_order else ""
        return self.store.read_now(lambda work: work.deliveries.get(DESTINATION, reference))


def _at_rest(order: Order) -> bool:
    if order.diverged or return_is_open(order):
        return False
    if order.stage in FINAL or order.stage is Stage.SHIPPED:
        return True
    arrived = order.work_order is not None and order.work_order.delivered in _ARRIVED
    return arrived and order.cancel_request is None and order.hold is None


def _add_partner(work: SqlWork) -> None:
    work.raw.execute(
        "INSERT INTO partners (id, name, created_at) VALUES (?, ?, 0)", (PARTNER, PARTNER)
    )


def _silent(_: str) -> None:
    return None
