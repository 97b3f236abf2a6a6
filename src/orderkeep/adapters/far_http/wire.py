"""One request to a foreign system, one whole answer, and what is known when there is none."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import Self

import httpx

from orderkeep.adapters.far_http.connection import Broken, Connection, Reply
from orderkeep.adapters.far_http.settings import FarHttpSettings
from orderkeep.observe.tracing import traceparent

__all__ = ["NoReply", "OverHttp", "Reply", "Wire"]


class NoReply(Exception):
    """No whole answer. ``unsent`` is true only with proof that no byte of the request left."""

    def __init__(self, cause: str, *, unsent: bool) -> None:
        super().__init__(cause)
        self.cause = cause
        self.unsent = unsent


class Wire:
    """Sends a request once and brings the whole answer back, within limits of time and size."""

    def __init__(self, settings: FarHttpSettings) -> None:
        self._settings = settings
        self._base = settings.base_url.rstrip("/")
        self._url = httpx.URL(settings.base_url)
        self._tls = httpx.create_ssl_context(trust_env=False)
        self._room = asyncio.Semaphore(settings.max_connections)
        self._idle: list[Connection] = []
        given = settings.auth_header
        self._always = {
            "Host": self._url.netloc.decode("ascii"),
            "User-Agent": "orderkeep",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            **_named(self._url),
            **(dict([given]) if given else {}),
        }

    async def aclose(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Reply:
        """One request, one whole answer.

        Raises:
            NoReply: anything else; cancellation passes through.
        """
        target = httpx.URL(self._base + path, params=query).raw_path
        request = self._written(method, target, headers or {}, body)
        leaves = False
        try:
            async with asyncio.timeout(self._settings.total_timeout.total_seconds()):
                async with self._connection() as connection:
                    leaves = True
                    return await connection.exchange(request, self._settings.read_timeout)
        except Broken as error:
            raise NoReply(str(error), unsent=False) from error
        except TimeoutError as error:
            raise NoReply("TotalTimeout", unsent=not leaves) from error

    def _written(
        self, method: str, target: bytes, headers: Mapping[str, str], body: bytes
    ) -> bytes:
        """The request's bytes; a name or value that would end its line is a fault of ours."""
        said = {**self._always, "traceparent": _traceparent(), **headers}
        if body or method != "GET":
            said["Content-Length"] = str(len(body))
        lines = [f"{name}: {value}" for name, value in said.items()]
        if any(not line.isprintable() for line in lines):
            raise ValueError("a header holds what no header may hold")
        head = "\r\n".join(lines).encode("ascii")
        return b"%b %b HTTP/1.1\r\n%b\r\n\r\n%b" % (method.encode("ascii"), target, head, body)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """A place, and a connection on it; whatever fails before it is there has sent nothing."""
        try:
            async with asyncio.timeout(self._settings.pool_timeout.total_seconds()):
                await self._room.acquire()
        except TimeoutError as error:
            raise NoReply("no free connection", unsent=True) from error
        try:
            connection = self._used_last() or await self._new_connection()
            try:
                yield connection
            except BaseException:
                connection.close()  # An answer that is still to come would be the next one's.
                raise
            self._idle.append(connection)
        finally:
            self._room.release()

    def _used_last(self) -> Connection | None:
        """An open one, the others may then grow idle and be closed."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_fit(self._settings.idle_connection):
                return connection
            connection.close()
        return None

    async def _new_connection(self) -> Connection:
        made, secure = Connection(self._settings.answer_cap_bytes), self._url.scheme == "https"
        port = self._url.port or (443 if secure else 80)
        tls = self._tls if secure else None
        try:
            async with asyncio.timeout(self._settings.connect_timeout.total_seconds()):
                # Straight to the far side: a proxy would see orders, and answer itself.
                await asyncio.get_running_loop().create_connection(
                    lambda: made, self._url.host, port, ssl=tls
                )
        except TimeoutError as error:
            raise NoReply("ConnectTimeout", unsent=True) from error
        except OSError as error:
            raise NoReply("ConnectError", unsent=True) from error
        except BaseException:
            made.close()
            raise
        return made


def _named(url: httpx.URL) -> dict[str, str]:
    """Who we are, where the address itself says it."""
    if not url.userinfo:
        return {}
    said = b64encode(f"{url.username}:{url.password}".encode()).decode()
    return {"Authorization": f"Basic {said}"}


def _traceparent() -> str:
    return traceparent(token_hex(16), token_hex(8))


class OverHttp:
    """Speaks to a foreign system over a wire; close it with ``aclose`` or ``async with``."""

    def __init__(self, settings: FarHttpSettings) -> None:
        self._wire = Wire(settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; no call may be under way."""
        await self._wire.aclose()
