"""Histories in which messages die, and support sends them again, edits them, and sends those again.

The same world and the same promise: whatever people do with dead letters, nothing is lost, nothing
made twice. ``python -m orderkeep.testing.replaying_world FROM TO`` lives through some seeds.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from types import MethodType
from typing import Any, cast

import msgspec
import structlog

from orderkeep.adapters.sql.work import SqlWork
from orderkeep.delivery.all_letters import all_letters
from orderkeep.delivery.dead_letters import (
    MOST,
    Item,
    Letter,
    Replay,
    Source,
    State,
    Verdict,
)
from orderkeep.delivery.inbox import InboxWorker
from orderkeep.delivery.ports import Received
from orderkeep.delivery.replay import AFTER_BATCH, BEFORE_BATCH, Replayer
from orderkeep.kernel.errors import OrderkeepError, Refused
from orderkeep.ledger.already_done import already_done, faults_of
from orderkeep.orders.announce import routes
from orderkeep.testing.faults import Faults
from orderkeep.testing.histories import Report
from orderkeep.testing.process import Process
from orderkeep.testing.store import SimStore
from orderkeep.testing.world import World

DIES = 0.5
"""How often the handling of a message is refused, until everything heals."""
ASKED = 6
"""Replays that one history begins at most before it heals; then as many as are needed."""

_MOVED = (
    "SELECT count(*), sum(step), group_concat(state) FROM replays",
    "SELECT group_concat(state) FROM replay_items",
    "SELECT count(*) FROM parked_letters",
)
_SENT = "SELECT kind, schema_version, order_key, body FROM inbox ORDER BY row"


class Broken(Refused):
    """The receiver cannot handle it now."""


class ReplayingWorld(World):
    """A world whose messages die; ``did`` counts what people did about it."""

    def __init__(
        self, seed: int, store: SimStore, folder: Path, log: Callable[[str], None] | None = None
    ) -> None:
        self.did: Counter[str] = Counter()
        self._healing = False
        self._audited: list[tuple[str, str]] = []
        super().__init__(seed, store, folder, log)

    # --- what breaks ----------------------------------------------------------------------------

    def _plan(self) -> Faults:
        planned = super()._plan()
        if self.chance.random() < 0.5:  # where the others never come
            planned.crashes[0] = (self.chance.choice((BEFORE_BATCH, AFTER_BATCH)), 1)
        return planned

    def _start(self) -> Process:
        process = super()._start()
        self.replayer = Replayer(
            self.store,
            routes(floor=self.on_floor),
            already_done,
            faults_of,
            self._audit,
            self.clock,
            self.ids,
        )
        for name, step in process.steps.items():
            if name.startswith("inbox "):
                # Bound to its worker, whose handler we have refuse some of what comes.
                worker = cast("InboxWorker[SqlWork]", cast("MethodType", step).__self__)
                worker._handler = self._breaking(worker._handler)  # noqa: SLF001  # See above.
        process.steps["replay"] = self.replayer.step
        return process

    def _breaking(
        self, handle: Callable[[SqlWork, Received, datetime], None]
    ) -> Callable[[SqlWork, Received, datetime], None]:
        def sometimes(work: SqlWork, received: Received, now: datetime) -> None:
            if not self._healing and self.chance.random() < DIES:
                self.did["died"] += 1
                raise Broken(f"place {self.chance.randrange(3)} of {received.envelope.order_key}")
            handle(work, received, now)

        return sometimes

    def _audit(self, _: Any, __: datetime, by: str, action: str, ___: str, ____: str) -> None:
        self._audited.append((by, action))

    # --- what people do about it ----------------------------------------------------------------

    def _one_step(self) -> None:
        super()._one_step()
        roll = self.chance.random()
        if roll < 0.4:
            self.do(self._attempt(self._see_to_letters))
        elif roll < 0.44:
            self.do(self._attempt(self._lose_a_header))
        elif roll < 0.7:
            for name in [one for one in self.process.steps if one.startswith(("replay", "inbox"))]:
                self._run_role(name)

    def _fingerprint(self) -> tuple[Any, ...]:
        """Also how far replays are: they move before any order does."""
        raw = self.store.raw
        moved = [raw.execute(one).fetchone() for one in _MOVED]
        return (*super()._fingerprint(), *moved)

    def _heal_round(self, pause: Any) -> None:
        self._healing = True
        super()._heal_round(pause)
        self.do(self._attempt(self._see_to_letters))

    async def _lose_a_header(self) -> None:
        """Something that came before comes again, and cannot be read."""

        def come(work: SqlWork) -> None:
            found = work.raw.execute(_SENT).fetchall()
            if found:
                body, now = bytes(self.chance.choice(found)[3]), self.clock.now()
                work.inbox.set_aside("bridge", None, body, "a header is missing", now)

        await self.store.write(come)

    async def _attempt(self, doing: Callable[[], Any]) -> None:
        try:
            await doing()
        except OrderkeepError as refused:
            self.did[f"refused {type(refused).__name__}"] += 1

    async def _see_to_letters(self) -> None:
        runs = await self.store.read(lambda work: work.dead_letters.replays(50))
        for run in runs:
            await self._see_to(run)
        if any(run.state in {State.RUNNING, State.WAITING, State.STOPPED} for run in runs):
            return
        if not self._healing and self.did["begun"] >= ASKED:
            return
        waiting = [one async for page in all_letters(self.store) for one in page if not one.parked]
        if waiting:
            await self._begin(self.chance.choice(waiting), waiting)

    async def _see_to(self, run: Replay) -> None:
        if run.state is State.WAITING:
            await self.replayer.approve(run.id, "boris")
        elif run.state is State.STOPPED and (self._healing or self.chance.random() < 0.5):
            self.did["resumed"] += 1
            await self.replayer.resume(run.id, "vera", "mended")
        elif run.state is State.RUNNING and not self._healing and self.chance.random() < 0.05:
            self.did["cancelled"] += 1
            await self.replayer.cancel(run.id, "vera", "not now")

    async def _begin(self, one: Letter, waiting: Sequence[Letter]) -> None:
        fingerprint, cutoff = one.fingerprint, max(letter.row for letter in waiting)
        edit = await self._edited(one)
        if one.source is Source.INBOX:
            told = await self.store.read(
                lambda work: self.replayer.preview(work, fingerprint, cutoff)
            )
            if not told.verdicts.get(Verdict.SEND):
                # Its effect is there: a person lays it aside, and the order goes on without it.
                await self._lay_aside(fingerprint, cutoff)
                return
        try:
            await self.replayer.begin(fingerprint, cutoff, 600, "vera", "mended", edit)
        except Refused:
            if one.source is Source.QUARANTINE:  # what it asks for is done already
                await self._lay_aside(fingerprint, cutoff)
            return
        self.did["begun"] += 1
        self.did["edited"] += edit is not None
        self.did["again"] += one.replays > 0

    async def _lay_aside(self, fingerprint: str, cutoff: int) -> None:
        self.did["parked"] += 1
        await self.replayer.park(fingerprint, cutoff, "vera", "done already")

    async def _edited(self, one: Letter) -> tuple[int, bytes] | None:
        """Another spelling of the same; of what could not be read, what it must have been."""
        body = await self.store.read(lambda work: work.dead_letters.body(one.source, one.row))
        if one.source is Source.QUARANTINE:
            found = await self.store.read(lambda work: work.raw.execute(_SENT).fetchall())
            same = [row for row in found if bytes(row[3]).strip() == body.strip()]
            kind, version, key, _ = same[0]
            whole = {"kind": kind, "schema_version": version, "order_key": key}
            self.did["made whole"] += 1
            return one.row, msgspec.json.encode({**whole, "body": msgspec.Raw(body)})
        return (one.row, b" " + body) if self.chance.random() < 0.25 else None

    # --- afterwards -----------------------------------------------------------------------------

    def judge_replays(self) -> None:
        """What the replays say of themselves agrees with the inboxes."""
        for run in self.store.read_now(lambda work: work.dead_letters.replays(1000)):
            assert run.state in {State.DONE, State.CANCELLED}, f"{run.id} is {run.state}"
            entries = self.store.read_now(lambda work, id_=run.id: work.dead_letters.entries(id_))  # type: ignore[misc]  # Its id, not the last.
            if run.state is State.DONE:
                ended = {Item.HANDLED, Item.SKIPPED, Item.DIED}
                assert {one.state for one in entries} <= ended, f"{run.id} is done, {entries}"
        left = self.store.read_now(lambda work: work.dead_letters.groups(MOST))
        assert [group for group in left if not group.parked] == []
        begun = [by for by, action in self._audited if action == "dead_letters.replay"]
        assert len(begun) >= self.did["begun"]


class Seen(Report):
    """The same, and what people did about dead letters."""

    did: dict[str, int] = msgspec.field(default_factory=dict)


def run(first: int, last: int) -> Seen:
    """Live through the histories of some seeds."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    report, did, store = Seen(), Counter[str](), SimStore()
    with tempfile.TemporaryDirectory(prefix="orderkeep-replaying-") as folder:
        for seed in range(first, last):
            world = ReplayingWorld(seed, store, Path(folder) / str(seed))
            try:
                world.run()
                world.judge_replays()
            except Exception as failure:  # noqa: BLE001  # The seed is the finding.
                report.failures[seed] = f"{type(failure).__name__}: {failure}"
                store = SimStore()
            report.add(world)
            did += world.did
    report.did = dict(did)
    return report


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(run(*map(int, sys.argv[1:3]))) + b"\n")
