"""Argon2id on threads: a password is hashed beside the event loop, and only a few at a time."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from orderkeep.kernel.errors import Unavailable

T = TypeVar("T")


class Argon2Passwords:
    """Hashes with the parameters OWASP recommends for one lane: 19 MiB, two passes."""

    def __init__(
        self,
        *,
        concurrency: int = 2,
        waiting: int = 64,
        time_cost: int = 2,
        memory_kib: int = 19_456,
    ) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)
        self._nobody = self._hasher.hash("nobody's password")
        self._lanes = asyncio.Semaphore(concurrency)
        self._waiting = 0
        self._limit = concurrency + waiting

    async def hash(self, password: str) -> str:
        return await self._run(partial(self._hasher.hash, password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        matches = await self._run(partial(self._matches, password_hash or self._nobody, password))
        return matches and password_hash is not None

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= self._limit:
            raise Unavailable("too many sign-ins at once", retry_after=timedelta(seconds=2))
        self._waiting += 1
        try:
            async with self._lanes:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1
