"""Answers that are ready as a whole: one write instead of the two that ASGI's messages cost."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from orderkeep.http.problems import Rendered

WHOLE = "orderkeep.whole"
"""In the scope of a server that offers it: a function that writes a finished answer."""


async def send_whole(
    scope: MutableMapping[str, Any],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    answer: Rendered,
) -> None:
    """Send a finished answer.

    Its headers, ``content-length`` among them, must be of our making alone: nothing looks for
    line ends in them any more.
    """
    write = scope.get(WHOLE)
    if write is not None:
        write(answer)
        return
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})
