"""How errors look from outside: problem+json (RFC 9457) with a type that stays the same.

The core knows nothing of HTTP; this table does. Members of a problem are the error's facts, which
never repeat what was sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import msgspec

from orderkeep.access.keys import KeyNotFound, PartnerNameTaken, PartnerNotFound
from orderkeep.access.people import LoginTaken, PersonNotFound
from orderkeep.access.ports import TooManyViews
from orderkeep.access.rights import NotAllowed
from orderkeep.access.sessions import NotSignedIn, TooManyFailures, WrongCredentials
from orderkeep.bridge.crm_deciding import NothingToDecide
from orderkeep.bridge.pausing import NoSuchDestination
from orderkeep.bridge.ports import MesOutcomeUnknown, MesRejected, MesUnavailable, RecallRefused
from orderkeep.bridge.tray import TrayFull, UnknownChanged, UnknownNotFound
from orderkeep.delivery.dead_letters import LetterNotFound, ReplayChanged, ReplayRefused
from orderkeep.files.ports import DigestMismatch, FileNotFound, FilesUnavailable
from orderkeep.files.upload import FileTooLarge, TooManyUploads
from orderkeep.floor.work_order import StepRefused
from orderkeep.floor.workshop import JobNotFound
from orderkeep.http import refusals
from orderkeep.intake.arrivals import MessageChanged
from orderkeep.intake.homes import HomeRefused
from orderkeep.intake.modes import ModeRefused, SourceOvertaken
from orderkeep.intake.ports import ClientRefTaken, KeyReused
from orderkeep.intake.strict_json import MalformedBody
from orderkeep.intake.taking_over import NoSuchSource, SourceMoved
from orderkeep.kernel.errors import (
    CommitOutcomeUnknown,
    Conflict,
    Invalid,
    OrderkeepError,
    Refused,
    StaleOrder,
    StoreBusy,
    Unavailable,
    Uncertain,
)
from orderkeep.kernel.money import CurrencyMismatch
from orderkeep.ledger.asking import NotNow
from orderkeep.ledger.lost_list import LostChanged, LostNotFound
from orderkeep.ledger.passes import DecisionRefused, FindingNotFound, PassMoved
from orderkeep.orders.ports import OrderNotFound
from orderkeep.orders.refusals import TransitionRefused
from orderkeep.quoting.ports import EngineUnavailable
from orderkeep.quoting.stl import Unreadable

CONTENT_TYPE = b"application/problem+json"
MAX_FAULTS = 100
_RETRY_S = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """A kind of problem: its status, its stable name and its title."""

    status: int
    slug: str
    title: str

    @property
    def type(self) -> str:
        """The address of the page that explains it."""
        return f"/problems/{self.slug}"


PROBLEMS: Mapping[type[OrderkeepError], Problem] = {
    # What HTTP refuses.
    refusals.BadRequest: Problem(400, "bad-request", "Not a request we can understand"),
    MalformedBody: Problem(400, "malformed-body", "The body is not strict JSON"),
    refusals.BadParameters: Problem(400, "bad-parameters", "A parameter is not as it must be"),
    refusals.BadIdempotencyKey: Problem(400, "idempotency-key", "An Idempotency-Key is needed"),
    refusals.WrongKey: Problem(401, "wrong-key", "No valid key came with the request"),
    refusals.PageNotFound: Problem(404, "not-found", "There is nothing at this address"),
    refusals.MethodNotAllowed: Problem(405, "method-not-allowed", "Not with this method"),
    refusals.RequestTimeout: Problem(408, "too-slow", "The request came too slowly"),
    refusals.BodyTooLarge: Problem(413, "body-too-large", "The body is too large"),
    refusals.AddressTooLong: Problem(414, "address-too-long", "The address is too long"),
    refusals.UnsupportedBody: Problem(415, "unsupported-body", "Not this kind of body"),
    refusals.TooManyRequests: Problem(429, "too-many-requests", "The quota is used up"),
    refusals.HeadersTooLarge: Problem(431, "headers-too-large", "The headers are too large"),
    # Submissions and files.
    Invalid: Problem(422, "invalid", "Understood, but not as it must be"),
    KeyReused: Problem(422, "key-reused", "The key has been used with another body"),
    ClientRefTaken: Problem(409, "client-ref-taken", "The number belongs to another order"),
    FileNotFound: Problem(404, "file-not-found", "There is no such file"),
    DigestMismatch: Problem(422, "digest-mismatch", "The file did not arrive as announced"),
    FileTooLarge: Problem(413, "body-too-large", "The body is too large"),
    TooManyUploads: Problem(503, "busy", "Too busy for the moment"),
    FilesUnavailable: Problem(503, "files-unavailable", "Files cannot be kept at the moment"),
    Unreadable: Problem(422, "file-unreadable", "The model file cannot be read"),
    # Orders.
    OrderNotFound: Problem(404, "order-not-found", "There is no such order"),
    TransitionRefused: Problem(409, "transition-refused", "Not possible at this stage"),
    StepRefused: Problem(409, "transition-refused", "Not possible at this stage"),
    JobNotFound: Problem(409, "transition-refused", "Not possible at this stage"),
    StaleOrder: Problem(409, "stale-order", "The order has changed in the meantime"),
    CurrencyMismatch: Problem(422, "currency-mismatch", "Not the price book's currency"),
    FindingNotFound: Problem(404, "finding-not-found", "There is no such finding"),
    DecisionRefused: Problem(409, "decision-refused", "The finding does not allow that"),
    LostNotFound: Problem(404, "finding-not-found", "There is no such finding"),
    LostChanged: Problem(409, "decision-refused", "The finding does not allow that"),
    PassMoved: Problem(409, "stale-order", "The order has changed in the meantime"),
    NoSuchDestination: Problem(404, "not-found", "There is nothing at this address"),
    NothingToDecide: Problem(409, "decision-refused", "The finding does not allow that"),
    UnknownNotFound: Problem(404, "not-found", "There is nothing at this address"),
    UnknownChanged: Problem(409, "conflict", "Someone was faster"),
    TrayFull: Problem(503, "unavailable", "Not possible at the moment"),
    # Taking over from present systems.
    NoSuchSource: Problem(404, "not-found", "There is nothing at this address"),
    ModeRefused: Problem(409, "step-refused", "The source cannot go there now"),
    SourceMoved: Problem(409, "conflict", "Someone was faster"),
    SourceOvertaken: Problem(409, "conflict", "Someone was faster"),
    MessageChanged: Problem(422, "key-reused", "The key has been used with another body"),
    HomeRefused: Problem(409, "step-refused", "The source cannot go there now"),
    # People and rights.
    WrongCredentials: Problem(401, "wrong-credentials", "Login or password is wrong"),
    NotSignedIn: Problem(401, "not-signed-in", "Nobody is signed in"),
    NotAllowed: Problem(403, "not-allowed", "Your role may not do this"),
    TooManyFailures: Problem(429, "too-many-failures", "Too many wrong attempts"),
    PersonNotFound: Problem(404, "person-not-found", "There is no such person"),
    LoginTaken: Problem(409, "login-taken", "The login is taken"),
    PartnerNotFound: Problem(404, "partner-not-found", "There is no such partner"),
    PartnerNameTaken: Problem(409, "partner-name-taken", "The name is taken"),
    KeyNotFound: Problem(404, "key-not-found", "There is no such key"),
    TooManyViews: Problem(409, "too-many-views", "No more views can be kept"),
    # The workshop's system and the price engine.
    MesRejected: Problem(409, "mes-rejected", "The workshop's system said no"),
    RecallRefused: Problem(409, "recall-refused", "The workshop's system did not give it back"),
    NotNow: Problem(503, "mes-unavailable", "The workshop's system cannot be reached"),
    MesUnavailable: Problem(503, "mes-unavailable", "The workshop's system cannot be reached"),
    MesOutcomeUnknown: Problem(503, "mes-outcome-unknown", "The workshop's system left it open"),
    EngineUnavailable: Problem(503, "engine-unavailable", "The price engine is not at hand"),
    # Dead letters.
    LetterNotFound: Problem(404, "letter-not-found", "There is no such dead letter"),
    ReplayRefused: Problem(409, "replay-refused", "Not possible with this replay"),
    ReplayChanged: Problem(409, "replay-changed", "Somebody has changed the replay"),
    # The store.
    StoreBusy: Problem(503, "busy", "Too busy for the moment"),
    CommitOutcomeUnknown: Problem(503, "send-again", "Maybe saved; send it again as it was"),
    # Families, for an error that has no row of its own yet.
    Refused: Problem(422, "refused", "Understood, and not possible"),
    Conflict: Problem(409, "conflict", "Someone was faster"),
    Unavailable: Problem(503, "unavailable", "Not possible at the moment"),
    Uncertain: Problem(503, "uncertain", "It may have been done"),
}
BUG = Problem(500, "internal", "A fault of ours")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A finished answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class FaultShape(msgspec.Struct, frozen=True):
    """One fault of a refusal."""

    pointer: str
    code: str
    message: str


def problem_of(error: OrderkeepError) -> Problem:
    """The row of an error, or of the nearest family that has one."""
    for ancestor in type(error).__mro__:
        if ancestor in PROBLEMS:
            return PROBLEMS[ancestor]
    return BUG


def render(error: Exception, request_id: str) -> Rendered:
    """The answer to an error; one that is not ours is a bug, of which nothing is told."""
    if not isinstance(error, OrderkeepError):
        return _rendered(BUG, {"request_id": request_id}, [])
    problem = problem_of(error)
    # No request id here: a foreign and an unknown order are refused byte for byte alike.
    members: dict[str, Any] = {"detail": _detail(error)}
    members |= {name: fact for name, fact in error.facts.items() if name not in _RESERVED}
    if isinstance(error, Invalid):
        members |= _faults(error)
    return _rendered(problem, members, _headers(error, problem))


_RESERVED = frozenset({"type", "title", "status", "instance", "errors", "request_id"})


def _rendered(
    problem: Problem, members: Mapping[str, Any], headers: list[tuple[bytes, bytes]]
) -> Rendered:
    body = msgspec.json.encode(
        {"type": problem.type, "title": problem.title, "status": problem.status, **members},
        enc_hook=str,
    )
    general = [
        (b"content-type", CONTENT_TYPE),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    return Rendered(problem.status, general + headers, body)


def _detail(error: OrderkeepError) -> str:
    if isinstance(error, Invalid):
        count = len(error.faults)
        return "One thing is wrong." if count == 1 else f"{count} things are wrong."
    return str(error) or problem_of(error).title


def _faults(error: Invalid) -> dict[str, Any]:
    shown = [FaultShape(one.pointer, one.code, one.message) for one in error.faults[:MAX_FAULTS]]
    more = len(error.faults) - len(shown)
    return {"errors": shown, "more_errors": more} if more else {"errors": shown}


def _headers(error: OrderkeepError, problem: Problem) -> list[tuple[bytes, bytes]]:
    headers: list[tuple[bytes, bytes]] = []
    if problem.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="orderkeep"'))
    if isinstance(error, refusals.MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allow).encode()))
    if problem.status in {429, 503}:
        headers.append((b"retry-after", str(_retry_after_s(error)).encode()))
    return headers


def _retry_after_s(error: OrderkeepError) -> int:
    wait = getattr(error, "retry_after", None)
    return _RETRY_S if wait is None else max(_RETRY_S, ceil(wait.total_seconds()))
