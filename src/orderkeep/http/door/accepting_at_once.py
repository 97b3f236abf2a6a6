"""``POST /v1/orders`` for a plain order in one read: no task, no future, one write.

Whatever is not plain (an unknown key, a quota used up, a body with a fault, a file not in memory)
is left for the ordinary way, which says what is wrong with it. Both answer byte for byte alike.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from orderkeep.http.at_once import WholeRequest, head_of
from orderkeep.http.door.accepting import idempotency_key, receipt, receipt_body
from orderkeep.http.door.guard import VISIT, Guard, Visit, refusal
from orderkeep.http.problems import Rendered
from orderkeep.http.strict_json import MAX_BODY_BYTES
from orderkeep.intake.accept import Intake, fresh
from orderkeep.intake.ports import Acceptance, Submission

log = structlog.get_logger()

_HEAD = (
    b"content-type: application/json\r\ncache-control: no-store\r\n"
    b"x-content-type-options: nosniff\r\ncontent-length: %d\r\nlocation: /v1/orders/%b\r\n"
)


class AcceptingAtOnce:
    """Takes orders as they are read off the connection."""

    def __init__(self, guard: Guard, intake: Intake) -> None:
        self._guard = guard
        self._intake = intake
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, request: WholeRequest) -> bool:
        """Take the request, or leave it; what is left has been counted if ``state`` says so."""
        visit = self._guard.admitted(request)
        if visit is None:
            return False
        try:
            submission = self._plain(visit, request.body)
            if submission is not None:
                self._intake.leave(submission, _Waiting(self, visit, request, submission))
        except Exception:  # noqa: BLE001  # met again, and told, on the ordinary way
            submission = None
        if submission is None:
            request.state[VISIT] = visit
        return submission is not None

    def _plain(self, visit: Visit, body: bytes) -> Submission | None:
        headers = visit.headers
        if (
            headers.get(b"content-type") != b"application/json"
            or b"content-length" not in headers  # What comes in chunks may have trailers behind it.
            or b"content-encoding" in headers
            or len(body) > MAX_BODY_BYTES
        ):
            return None
        return self._intake.plain(visit.sender, idempotency_key(headers), body)

    def later(self, rest: Coroutine[Any, Any, None]) -> None:
        """Answer in a task: somebody has to be asked first."""
        task = asyncio.create_task(rest)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def again(self, waiting: "_Waiting", acceptance: Acceptance) -> None:
        """Answer a repetition with what was answered then."""
        try:
            answer = receipt(await self._intake.told(waiting.submission, acceptance))
        except Exception as error:  # noqa: BLE001  # the last net, as in the guard
            answer = refusal(waiting.visit, error)
        waiting.answer(answer)


class _Waiting:
    """A request whose order is on its way to the disk; told of it as a future would be."""

    __slots__ = ("_desk", "request", "submission", "visit")

    def __init__(
        self, desk: AcceptingAtOnce, visit: Visit, request: WholeRequest, submission: Submission
    ) -> None:
        self._desk = desk
        self.visit = visit
        self.request = request
        self.submission = submission

    def done(self) -> bool:
        return False

    def set_result(self, acceptance: Acceptance) -> None:
        if acceptance.replayed:
            self._desk.later(self._desk.again(self, acceptance))
        else:
            body = receipt_body(fresh(self.submission, acceptance))
            self._answer(201, _HEAD % (len(body), acceptance.order_no.encode()), body)

    def set_exception(self, error: Exception) -> None:
        self.answer(refusal(self.visit, error))

    def answer(self, answer: Rendered) -> None:
        self._answer(answer.status, head_of(answer.headers), answer.body)

    def _answer(self, status: int, head: bytes, body: bytes) -> None:
        try:
            self.request.answer(status, head + self.visit.lines(), body)
        except Exception:  # Others of the batch wait behind us for theirs.
            log.exception("request.failed", trace_id=self.visit.trace_id)
