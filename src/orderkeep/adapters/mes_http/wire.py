"""One request to a MES, one whole answer, and what is known when there is none."""

import asyncio
from collections.abc import Mapping
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
    """Sends a request once and brings the whole answer back, within limits of time and size."""

    def __init__(self, settings: MesHttpSettings) -> None:
        self._base = settings.base_url.rstrip("/")
        self._total = settings.total_timeout.total_seconds()
        self._cap = settings.answer_cap_bytes
        auth = dict([settings.auth_header]) if settings.auth_header else {}
        self._client = httpx.AsyncClient(
            # Nothing from the environment: a proxy there would see orders and answer for the MES.
            trust_env=False,
            follow_redirects=False,
            headers={"User-Agent": "orderkeep", "Accept-Encoding": "identity", **auth},
            timeout=httpx.Timeout(
                settings.read_timeout.total_seconds(),
                connect=settings.connect_timeout.total_seconds(),
                pool=settings.pool_timeout.total_seconds(),
            ),
            limits=httpx.Limits(
                max_connections=settings.max_connections,
                max_keepalive_connections=settings.max_connections,
                keepalive_expiry=settings.idle_connection.total_seconds(),
            ),
        )

    async def aclose(self) -> None:
        await self._client.aclose()

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
        request = self._client.build_request(
            method,
            self._base + path,
            params=query,
            headers=headers,
            content=body,
            extensions={"trace": progress.note},
        )
        try:
            async with asyncio.timeout(self._total):
                return await self._exchange(request)
        except _UNSENT as error:
            raise NoReply(type(error).__name__, unsent=True) from error
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise NoReply(type(error).__name__, unsent=progress.connecting) from error

    async def _exchange(self, request: httpx.Request) -> Reply:
        response = await self._client.send(request, stream=True)
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
            if len(body) > self._cap:
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
