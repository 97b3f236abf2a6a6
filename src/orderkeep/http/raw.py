"""Whole answers in bytes, for requests that no application sees."""

from orderkeep.http.at_once import head_of
from orderkeep.http.problems import render
from orderkeep.kernel.errors import OrderkeepError

_REASONS = {400: b"Bad Request", 408: b"Request Timeout", 414: b"URI Too Long"}
_REASONS |= {429: b"Too Many Requests", 431: b"Too Large", 503: b"Service Unavailable"}


def raw_answer(refusal: OrderkeepError, *, keep: bool = False) -> bytes:
    """The answer to a refused request; without ``keep`` it ends the connection."""
    answer = render(refusal, request_id="")
    status = b"HTTP/1.1 %d %s\r\n" % (answer.status, _REASONS[answer.status])
    end = b"\r\n" if keep else b"connection: close\r\n\r\n"
    return b"".join((status, head_of(answer.headers), end, answer.body))
