"""What HTTP itself refuses, before or beside any business.

No message and no fact repeats what was sent.
"""

from collections.abc import Sequence
from datetime import timedelta

from orderkeep.kernel.errors import Fault, Invalid, Refused


class BadRequest(Refused):
    """Not a request we can understand."""


class BadParameters(Invalid):
    """A query parameter or a path part is not as it must be."""


class BadIdempotencyKey(Refused):
    """The Idempotency-Key header is missing, sent twice or not 1 to 255 visible characters."""


class WrongKey(Refused):
    """No valid key came with the request; which of the reasons it was is not told."""


class PageNotFound(Refused):
    """There is nothing at this address."""


class MethodNotAllowed(Refused):
    """The address does not know this method; ``allow`` lists those it knows."""

    def __init__(self, allow: Sequence[str]) -> None:
        super().__init__("This address does not take the method.")
        self.allow = tuple(allow)


class RequestTimeout(Refused):
    """The request came too slowly."""


class BodyTooLarge(Refused):
    """The body is larger than this address takes; ``facts["limit_bytes"]`` says how large."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__("The body is larger than this address takes.", limit_bytes=limit_bytes)


class AddressTooLong(Refused):
    """The address is longer than we read."""


class UnsupportedBody(Refused):
    """The body's type or encoding is not one that this address takes."""


class HeadersTooLarge(Refused):
    """The headers are too many or too long."""


class TooManyRequests(Refused):
    """The quota is used up; ``retry_after`` says when to come again."""

    def __init__(self, retry_after: timedelta) -> None:
        super().__init__("The quota is used up; come again after the time given.")
        self.retry_after = retry_after


class TooManyConnections(TooManyRequests):
    """One address holds as many connections as we take from one."""

    def __init__(self) -> None:
        super().__init__(timedelta(seconds=1))
        self.args = ("Your address holds too many connections; close some, or use them again.",)


def bad_parameter(name: str, code: str, message: str) -> BadParameters:
    """One wrong query parameter."""
    return BadParameters([Fault(f"/{name}" if name else "", code, message)])
