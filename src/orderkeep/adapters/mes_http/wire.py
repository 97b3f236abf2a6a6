"""One request to a MES, one whole answer, and what is known when there is none."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from orderkeep.adapters.mes_http.settings import MesHttpSettings

_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer within the cap."""

    status: int
    headers: httpx.Headers
    body: bytes


class NoReply(Exception):
    """No whole answer. ``unsent`` is true only with proof that no byte of the request left."""

    def __init__(self, cause: str, *, unsent: bool) -> None:
        super().__init__(cause)
        self.cause = cause
        self.unsent = unsent


class Wire:
    """Sends a request once and brings the whole answer back, within limits of time and size.

    Each connection has a client of its own: httpx's pool looks at every connection for every
    request, which at 16 of them cost us two thirds of the throughput.
    """

    def __init__(self, settings: MesHttpSettings) -> None:
        self._settings = settings
        self._base = settings.base_url.rstrip("/")
        self._tls = httpx.create_ssl_context(trust_env=False)
        self._room = asyncio.Semaphore(settings.max_connections)
        self._idle: list[httpx.AsyncClient] = []

    async def aclose(self) -> None:
        while self._idle:
            await self._idle.pop().aclose()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        """One request, one whole answer.

        Raises:
            NoReply: anything else; cancellation passes through.
        """
        progress = _Progress()
        request = httpx.Request(
            method,
            self._base + path,
            params=query,
            headers={**self._headers(), **(headers or {})},
            content=body,
            extensions={"trace": progress.note, "timeout": self._timeouts()},
        )
        try:
            async with asyncio.timeout(self._settings.total_timeout.total_seconds()):
                async with self._client() as client:
                    return await self._exchange(client, request)
        except _UNSENT as error:
            raise NoReply(type(error).__name__, unsent=True) from error
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise NoReply(type(error).__name__, unsent=progress.connecting) from error

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[httpx.AsyncClient]:
        try:
            async with asyncio.timeout(self._settings.pool_timeout.total_seconds()):
                await self._room.acquire()
        except TimeoutError as error:
            raise NoReply("no free connection", unsent=True) from error
        # The one used last: the others may then grow idle and be closed.
        client = self._idle.pop() if self._idle else self._new_client()
        try:
            yield client
        finally:
            self._idle.append(client)
            self._room.release()

    def _new_client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=self._tls,
            # Nothing from the environment: a proxy there would see orders and answer for the MES.
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(
                max_connections=1,
                max_keepalive_connections=1,
                keepalive_expiry=self._settings.idle_connection.total_seconds(),
            ),
        )

    def _headers(self) -> dict[str, str]:
        plain = {
            "User-Agent": "orderkeep",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        return plain | (dict([self._settings.auth_header]) if self._settings.auth_header else {})

    def _timeouts(self) -> dict[str, float | None]:
        read = self._settings.read_timeout.total_seconds()
        return httpx.Timeout(
            read,
            connect=self._settings.connect_timeout.total_seconds(),
            pool=self._settings.pool_timeout.total_seconds(),
        ).as_dict()

    async def _exchange(self, client: httpx.AsyncClient, request: httpx.Request) -> Reply:
        response = await client.send(request, stream=True)
        try:
            return Reply(response.status_code, response.headers, await self._read(response))
        finally:
            await response.aclose()

    async def _read(self, response: httpx.Response) -> bytes:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            # We asked for none; unpacking is how a small answer becomes a large one.
            raise NoReply("packed answer", unsent=False)
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._settings.answer_cap_bytes:
                raise NoReply("answer above the cap", unsent=False)
        return bytes(body)


class _Progress:
    """How far a request got, from httpcore's trace; knows only what is certain."""

    def __init__(self) -> None:
        self.connecting = False

    async def note(self, event: str, _: Mapping[str, Any]) -> None:
        # True while a connection is being made, false from any later step on: should the names
        # ever change, everything counts as sent, which is the safe side.
        self.connecting = event in (
            "connection.connect_tcp.started",
            "connection.start_tls.started",
        )
