"""All dead letters, however many there are: page by page, each read by itself."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from orderkeep.delivery.dead_letters import Letter, Source
from orderkeep.delivery.replay import LetterStore

AT_ONCE = 1000
"""Letters in one page: what whoever asks holds in memory, and what one read takes."""


async def all_letters(
    store: LetterStore, fingerprint: str | None = None
) -> AsyncIterator[Sequence[Letter]]:
    """Every letter that lies there from the first page to the last, the newest of a source first.

    What dies, is sent or is parked meanwhile may be told as it was before or after that.
    """
    for source in Source:
        before: int | None = None
        while letters := await store.read_long(_page(source, before, fingerprint)):
            yield letters
            before = letters[-1].row


def _page(source: Source, before: int | None, fingerprint: str | None) -> Any:
    return lambda work: work.dead_letters.page(source, before, AT_ONCE, fingerprint)
