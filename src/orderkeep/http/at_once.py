"""Requests that came whole in one read, answered without a task or a message of their own.

An application offers it for an address by an attribute ``at_once``: a mapping of method and
address to a function that takes the request, or leaves it for the ordinary way. It answers by
``request.answer``, now or later, once; and it must not raise.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*(?:\r\n|$)")
_UNUSUAL = re.compile(
    rb"\r\n(?:transfer-encoding|expect|upgrade):"
    rb"|\r\nconnection:(?![ \t]*keep-alive[ \t]*(?:\r\n|$))"
)


class WholeRequest:
    """A request with nothing left to come; it has those members of uvicorn's cycle that are read.

    ``state`` goes into the scope of a request that is left for the ordinary way.
    """

    __slots__ = (
        "_write",
        "body",
        "disconnected",
        "headers",
        "keep_alive",
        "response_complete",
        "state",
    )
    more_body = False

    def __init__(
        self,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
        write: "Callable[[WholeRequest, int, bytes, bytes], None]",
        *,
        keep_alive: bool,
    ) -> None:
        self.headers = headers
        self.body = body
        self.keep_alive = keep_alive
        self.state: dict[str, Any] = {}
        self.disconnected = self.response_complete = False
        self._write = write

    @property
    def response_started(self) -> bool:
        """Its answer is written in one piece."""
        return self.response_complete

    @property
    def message_event(self) -> "WholeRequest":
        """Where uvicorn says that something has changed: nobody waits for it."""
        return self

    def set(self) -> None:
        """Nobody waits."""

    def answer(self, status: int, head: bytes, body: bytes) -> None:
        """Write the answer, unless nobody is there to read it; ``head`` is its headers' lines."""
        if not (self.disconnected or self.response_complete):
            self.response_complete = True
            self._write(self, status, head, body)


AtOnce: TypeAlias = Mapping[tuple[bytes, bytes], Callable[[WholeRequest], bool]]
"""By method and address; the function says whether it has taken the request."""


def head_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as lines; there must be no line end in them."""
    return b"".join([b"%b: %b\r\n" % field for field in headers])


def is_whole(rest: bytes) -> bool:
    """Whether these headers and this body are all of a request; never yes for what is not.

    Strict where a parser is lenient: what is unusual is left to the parser.
    """
    head, found, body = rest.partition(b"\r\n\r\n")
    lowered = b"\r\n" + head.lower()
    lengths = _LENGTH.findall(lowered)
    declared = int(lengths[0]) if lengths else 0
    return (
        bool(found)
        and len(lengths) <= 1
        and len(body) == declared
        and lowered.count(b"\r\ncontent-length") == len(lengths)
        and _UNUSUAL.search(lowered) is None
    )
