"""Tries again what a live source's messages were put aside for: a mended mapping is a new start."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import structlog

from orderkeep.bridge.tray import Kept, TrayState
from orderkeep.intake.arrivals import Fate
from orderkeep.intake.mapping import Message, Source
from orderkeep.intake.modes import Mode
from orderkeep.intake.receiving import OF_NOBODY, Receiving, understand
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.store import Store

PAGE: Final = 200
BY: Final = "source"
ROUTING_KEY: Final = "routing-key"
"""Where the tray keeps it: beside the headers."""

log = structlog.get_logger()


class TryingAgain:
    """Once in a process and source: what the mapping says now was read when it began."""

    def __init__(
        self,
        store: Store[Any],
        sources: Mapping[str, tuple[Source, Receiving]],
        clock: Clock,
    ) -> None:
        self._store = store
        self._sources = dict(sources)
        self._clock = clock

    async def step(self) -> int:
        """Try what is put aside of every source that is live; 0, for a rest."""
        for name, (source, receiving) in list(self._sources.items()):
            if await self._is_live(name):
                # The newest come first: a word finds its order only in the round after that.
                while await self._all(source, receiving):
                    pass
                del self._sources[name]
        return 0

    async def _all(self, source: Source, receiving: Receiving) -> int:
        """Try each once; how many are settled."""
        settled = 0
        before: int | None = None
        while True:
            page = await self._page(before)
            for kept in _whole(page, source.name):
                settled += await self._one(source, receiving, kept)
            if len(page) < PAGE:
                return settled
            before = page[-1].row

    async def _is_live(self, name: str) -> bool:
        state = await self._store.read(lambda work: work.sources.get(name))
        return bool(state.mode is Mode.LIVE)

    async def _page(self, before: int | None) -> Sequence[Kept]:
        found: Sequence[Kept] = await self._store.read(
            lambda work: work.tray.page(TrayState.OPEN, before, PAGE)
        )
        return found

    async def _one(self, source: Source, receiving: Receiving, kept: Kept) -> bool:
        """Try one; whether it is settled."""
        message = message_of(kept)
        understood = understand(source, message)
        if understood.refused is not None:
            return False
        arrival = understood.arrival
        # What a shadow put aside went the old road: only what was acked to us is ours to try.
        fate = await self._store.read(lambda work: work.arrivals.fate(arrival))
        if fate is not Fate.ASIDE:
            return False
        [now_fate] = await receiving.take([message])
        if now_fate is Fate.ASIDE:
            return False
        now, note = self._clock.now(), f"tried again: {now_fate}"
        settled: bool = await self._store.write(
            lambda work: work.tray.settle(
                kept.row, TrayState.OPEN, TrayState.ASIDE, BY, note, None, now
            )
        )
        log.info("message.tried_again", channel=source.name, fate=now_fate)
        return settled


def _whole(page: Sequence[Kept], source: str) -> Iterator[Kept]:
    """The source's own, without those that the tray has only the beginning of."""
    ours = (one for one in page if one.source in {source, source + OF_NOBODY})
    return (one for one in ours if len(one.body) == one.size_bytes)


def message_of(kept: Kept) -> Message:
    """A message in the tray as it came."""
    headers = {name: value for name, value in kept.headers.items() if name != ROUTING_KEY}
    return Message(kept.body, headers, kept.headers.get(ROUTING_KEY, ""), kept.message_id)
