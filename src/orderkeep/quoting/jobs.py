"""What the supervisor and the warm process say to each other, one message a datagram."""

from typing import Final

import msgspec

from orderkeep.quoting.measurement import Manual, Measurement

MAX_MESSAGE_BYTES: Final = 64 * 1024


class Ask(msgspec.Struct, frozen=True, tag=True):
    """Measure the file whose descriptor comes along, within so many seconds."""

    job: int
    unit: str
    seconds: float


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Nobody waits for this job any more."""

    job: int


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Everything is compiled."""


class Measured(msgspec.Struct, frozen=True, tag=True):
    """The job's answer, and the most memory it held."""

    job: int
    outcome: Measurement | Manual
    peak_rss_mib: float


class Died(msgspec.Struct, frozen=True, tag=True):
    """The job's process ended without an answer: ``killed`` or ``resource_limit``."""

    job: int
    code: str


class Timeout(msgspec.Struct, frozen=True, tag=True):
    """The job was killed at its deadline."""

    job: int


class Cancelled(msgspec.Struct, frozen=True, tag=True):
    """The job was killed because it was cancelled."""

    job: int


Answer = Measured | Died | Timeout | Cancelled

asks: Final[msgspec.json.Decoder[Ask | Cancel]] = msgspec.json.Decoder(Ask | Cancel)
answers: Final[msgspec.json.Decoder[Answer | Ready]] = msgspec.json.Decoder(Answer | Ready)
