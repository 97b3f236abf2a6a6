"""The trace that a call to a foreign system belongs to, as W3C Trace Context writes it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_TRACE: ContextVar[str] = ContextVar("trace_id", default="")
_WHOLE = re.compile(r"(?!0{32})[0-9a-f]{32}")


@contextmanager
def within(trace_id: str) -> Iterator[None]:
    """Whatever is asked of others in here belongs to a trace: that of the order it is about."""
    token = _TRACE.set(trace_id)
    try:
        yield
    finally:
        _TRACE.reset(token)


def traceparent(fresh_trace: str, span: str) -> str:
    """The header's value for one call; ``fresh_trace`` where it belongs to no order."""
    known = _TRACE.get()
    trace = known if _WHOLE.fullmatch(known) else fresh_trace
    return f"00-{trace}-{span}-01"  # 01: we have kept it, in the order's history.
