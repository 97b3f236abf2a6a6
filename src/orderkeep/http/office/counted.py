"""Counting requests: one look-up and one addition each."""

from collections.abc import Iterable, Mapping
from time import perf_counter

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Histogram

_Header = tuple[bytes, bytes]
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """The office's numbers, on a registry of their own; other parts may register theirs."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "orderkeep_http_requests",
            "Requests answered",
            ["port", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "orderkeep_http_request_seconds",
            "Time until the answer began, streams left out",
            ["port"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        # Looking up a labelled child costs more than counting with it.
        self._statuses: dict[tuple[str, int], Counter] = {}
        self._ports: dict[str, Histogram] = {}

    def answered(self, port: str, status: int, took_s: float) -> None:
        """Count an answer that does not pass through ``middleware``."""
        self._count(port, status)
        self._port_seconds(port).observe(took_s)

    def _port_seconds(self, port: str) -> Histogram:
        child = self._ports.get(port)
        if child is None:
            child = self._ports[port] = self._seconds.labels(port)
        return child

    def middleware(self, app: ASGIApp, port: str, headers: Mapping[str, str]) -> ASGIApp:
        """Count what an application answers, and give each answer these headers too."""
        seconds = self._port_seconds(port)
        extra = [(name.encode(), value.encode()) for name, value in headers.items()]

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP:
                await app(scope, receive, send)
                return
            begun = perf_counter()

            async def told(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self._count(port, message["status"])
                    message["headers"] = _with(message["headers"], extra)
                    seconds.observe(perf_counter() - begun)
                await send(message)

            await app(scope, receive, told)

        return counted

    def _count(self, port: str, status: int) -> None:
        key = (port, status)
        child = self._statuses.get(key)
        if child is None:
            child = self._statuses[key] = self._requests.labels(port, f"{status // 100}xx")
        child.inc()


def _with(headers: Iterable[_Header], extra: Iterable[_Header]) -> list[_Header]:
    """Headers with more of them; one that is there already stays as it is."""
    given = list(headers)
    names = {name for name, _ in given}
    return [*given, *[header for header in extra if header[0] not in names]]
