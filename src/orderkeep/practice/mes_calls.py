"""What comes in to the practice MES, and what it means."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from orderkeep.practice.mes_jobs import Jobs


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Call:
    """What a request means: the operation, and the job or the reference it is about."""

    op: str
    request: Request
    reference: str | None = None
    mes_id: str | None = None
    posted: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str | None:
        return self.request.headers.get("idempotency-key")

    @property
    def traceparent(self) -> str | None:
        return self.request.headers.get("traceparent")

    @property
    def body_sha256(self) -> str | None:
        return hashlib.sha256(self.request.body).hexdigest() if self.request.body else None


def understand(request: Request, jobs: Jobs) -> Call:
    """Which operation a request asks for; ``unknown`` when there is none at its path."""
    for op, method, pattern in _ROUTES:
        match = pattern.fullmatch(request.path)
        if match and method == request.method:
            return _call(op, request, jobs, match.groupdict().get("id"))
    return Call("unknown", request)


def json_object(body: bytes) -> Mapping[str, Any]:
    """A JSON object, or an empty one for anything else."""
    try:
        told = msgspec.json.decode(body) if body else {}
    except (msgspec.DecodeError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def place(text: str | None) -> int | None:
    """A place in a list; the beginning when none is given, None when it is not a number."""
    if not text:
        return 0
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 12 else None


_ROUTES: Sequence[tuple[str, str, re.Pattern[str]]] = (
    ("submit", "POST", re.compile(r"/api/orders")),
    ("list", "GET", re.compile(r"/api/orders")),
    ("recall", "POST", re.compile(r"/api/orders/(?P<id>[^/]+)/recall")),
    ("status", "POST", re.compile(r"/api/orders/(?P<id>[^/]+)/status")),
    ("changes", "GET", re.compile(r"/api/changes")),
)


def _call(op: str, request: Request, jobs: Jobs, mes_id: str | None) -> Call:
    if op == "list" and "ref" in request.query:
        return Call("find", request, reference=request.query["ref"])
    posted = json_object(request.body)
    if op == "submit":
        reference = posted.get("external_id")
        known = reference if isinstance(reference, str) else None
        return Call(op, request, reference=known, posted=posted)
    job = jobs.get(mes_id) if mes_id else None
    return Call(op, request, job.reference if job else None, mes_id, posted)
