"""Signing in and staying signed in: random tokens, kept as hashes, twelve hours from last use."""

from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

import msgspec

from orderkeep.access.people import Person, canonical_login
from orderkeep.access.ports import AccessWork, Credentials, Passwords, Session
from orderkeep.kernel.clock import Clock
from orderkeep.kernel.errors import Refused, Unavailable, Uncertain
from orderkeep.kernel.ids import Ids
from orderkeep.kernel.store import Store

SESSION_LASTS = timedelta(hours=12)
_EXTEND_AFTER = timedelta(hours=1)  # so that browsing costs one write an hour, not one a click
_TOKEN_LENGTH = 43
_MAX_KNOWN = 4096


class WrongCredentials(Refused):
    """No such login and password: which of the two is not told."""


class NotSignedIn(Refused):
    """There is no session, or it has ended."""


class TooManyFailures(Refused):
    """So many wrong passwords that the next ones are not even looked at."""

    def __init__(self, retry_after: timedelta) -> None:
        super().__init__("too many wrong passwords", retry_after_s=int(retry_after.total_seconds()))
        self.retry_after = retry_after


class SignedIn(msgspec.Struct, frozen=True):
    """A new session; ``token`` goes into the cookie and nowhere else."""

    token: str
    person: Person
    expires_at: datetime


@dataclass(slots=True)
class _Failures:
    count: int
    since: datetime


class FailureCount:
    """Counts wrong passwords per key within a window; bounded, the oldest keys are forgotten."""

    def __init__(self, limit: int, window: timedelta, keys: int = 10_000) -> None:
        self._limit = limit
        self._window = window
        self._keys = keys
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def check(self, key: str, now: datetime) -> None:
        """Let pass who has failed less often than the limit.

        Raises:
            TooManyFailures: with the time until the window ends.
        """
        failures = self._failures.get(key)
        if failures is None or failures.since + self._window <= now:
            return
        if failures.count >= self._limit:
            raise TooManyFailures(failures.since + self._window - now)

    def failed(self, key: str, now: datetime) -> None:
        """Count one more."""
        failures = self._failures.get(key)
        if failures is None or failures.since + self._window <= now:
            failures = self._failures[key] = _Failures(0, now)
        failures.count += 1
        self._failures.move_to_end(key)
        if len(self._failures) > self._keys:
            self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Forget the key's failures."""
        self._failures.pop(key, None)


class Sessions:
    """Opens, checks and ends sessions."""

    def __init__(
        self, store: Store[AccessWork], passwords: Passwords, clock: Clock, ids: Ids
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._clock = clock
        self._ids = ids
        # Per person and address, so that a stranger cannot lock somebody out of their own desk;
        # per person alone much later, so that many addresses do not help either.
        self._known: dict[str, Session] = {}
        self._near = FailureCount(10, timedelta(minutes=15))
        self._far = FailureCount(100, timedelta(minutes=15))

    async def sign_in(self, login: str, password: str, peer: str) -> SignedIn:
        """Open a session.

        Raises:
            WrongCredentials: login unknown, person disabled or password wrong; takes as long.
            TooManyFailures: ten wrong ones within a quarter of an hour.
        """
        login = canonical_login(login)
        near = f"{login}@{peer}"
        now = self._clock.now()
        self._near.check(near, now)
        self._far.check(login, now)
        # Counted before looking: guesses made at the same time must not share one free try.
        self._near.failed(near, now)
        self._far.failed(login, now)
        proven = await self._proven(login, password)
        self._near.succeeded(near)
        self._far.succeeded(login)
        return await self._open(proven)

    async def session(self, token: str) -> Session:
        """Who holds the token; using it keeps it alive.

        Raises:
            NotSignedIn: unknown token, ended session or disabled person.
        """
        hashed, now = _hash(token), self._clock.now()
        session = await self._find(token)
        if session is None:
            raise NotSignedIn("sign in")
        expires_at = now + SESSION_LASTS
        if not self._is_young(session):
            # A full disk must not close the board: who is signed in can still read.
            with suppress(Unavailable, Uncertain):
                await self._store.write(lambda work: work.access.extend_session(hashed, expires_at))
        return session

    async def reader(self, token: str) -> Session:
        """Who holds the token, as far as reading goes: login and role, which a session keeps.

        That it is still open is asked each time, so that an end made elsewhere counts at once;
        name and language may be those of its first use.

        Raises:
            NotSignedIn: as ``session``.
        """
        hashed = _hash(token)
        known = self._known.get(hashed)
        if known is not None and self._is_young(known) and await self.is_open(token):
            return known
        self._known.pop(hashed, None)
        session = await self.session(token)
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[hashed] = session
        return session

    async def is_open(self, token: str) -> bool:
        """Whether the session has not ended; asking does not keep it alive."""
        hashed, now = _hash(token), self._clock.now()
        return await self._store.read(lambda work: work.access.session_is_open(hashed, now))

    def _is_young(self, session: Session) -> bool:
        """Whether using it need not prolong it yet."""
        return self._clock.now() + SESSION_LASTS - session.expires_at <= _EXTEND_AFTER

    async def sign_out(self, token: str) -> None:
        """End the session; an unknown token is no error."""
        hashed = _hash(token)
        await self._store.write(lambda work: work.access.end_session(hashed))

    async def _find(self, token: str) -> Session | None:
        hashed, now = _hash(token), self._clock.now()
        return await self._store.read(lambda work: work.access.session(hashed, now))

    async def _proven(self, login: str, password: str) -> Credentials:
        known = await self._store.read(lambda work: work.access.credentials(login))
        hashed = known.password_hash if known else None
        right = await self._passwords.verify(hashed, password)
        if known is None or not right or known.person.disabled_at is not None:
            await self._record_failure(login, known)
            raise WrongCredentials("no such login and password")
        return known

    async def _record_failure(self, login: str, known: Credentials | None) -> None:
        # What was typed as an unknown login may be somebody's password: it is not written down.
        subject, now = login if known else "(unknown)", self._clock.now()
        await self._store.write(
            lambda work: work.access.record(now, "office", "session.refused", subject)
        )

    async def _open(self, proven: Credentials) -> SignedIn:
        person, now = proven.person, self._clock.now()
        token, expires_at = self._ids.token(_TOKEN_LENGTH), now + SESSION_LASTS

        def unit(work: AccessWork) -> None:
            # While the password was being hashed it may have been changed, and every session ended.
            if work.access.credentials(person.login) != proven:
                raise WrongCredentials("no such login and password")
            work.access.forget_sessions(now)
            work.access.open_session(_hash(token), person.id, now, expires_at)
            work.access.record(now, f"person:{person.login}", "session.opened", person.login)

        await self._store.write(unit)
        return SignedIn(token, person, expires_at)


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()
