"""Why an envelope was put aside, or is tried again; see ``kernel.sentences``."""

from typing import Final

from orderkeep.kernel.errors import Refused
from orderkeep.kernel.sentences import Sentence

FAILED: Final = Sentence("failed", "{error}")
"""The class of a failure, and nothing of its text: that may hold personal data."""
FAILED_SAYING: Final = Sentence("failed_saying", "{error}: {said}")
"""One of our own refusals, with its sentence."""


def failed(failure: Exception) -> str:
    """Why something failed: its class, and our own sentence if there is one."""
    error = type(failure).__name__
    is_ours = isinstance(failure, Refused) and str(failure)
    return FAILED_SAYING(error=error, said=failure) if is_ours else FAILED(error=error)


NOBODY_TAKES: Final = Sentence("nobody_takes", "nobody takes this kind")
OTHER_BODY: Final = Sentence("other_body", "known id, other body")
NOT_AN_ENVELOPE: Final = Sentence("not_an_envelope", "not an envelope: {quote}")
BROKER_DEAD: Final = Sentence("broker_dead", "dead letter of the broker")
BROKER_DIED: Final = Sentence("broker_died", "dead letter of the broker: {death} in {queue}")
BROKER_DIED_TIMES: Final = Sentence(
    "broker_died_times", "dead letter of the broker: {death} in {queue}, {n} times"
)
BROKER_DIED_UNREAD: Final = Sentence(
    "broker_died_unread", "dead letter of the broker: {death} in {queue}; not an envelope: {quote}"
)
BROKER_DIED_TIMES_UNREAD: Final = Sentence(
    "broker_died_times_unread",
    "dead letter of the broker: {death} in {queue}, {n} times; not an envelope: {quote}",
)

SENTENCES: Final = tuple(one for one in tuple(globals().values()) if isinstance(one, Sentence))
