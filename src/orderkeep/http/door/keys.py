"""Who is calling: keys looked up by their hash, remembered for a few seconds."""

from collections.abc import Awaitable, Callable
from hashlib import sha256

from orderkeep.access.keys import KeyHolder
from orderkeep.http.refusals import WrongKey

FindKey = Callable[[str], Awaitable[KeyHolder | None]]
"""Whose key has this SHA-256 (hex); None if it is nobody's, revoked, or its partner disabled."""

REMEMBERED_S = 5.0
MAX_REMEMBERED = 1024
_BEARER = b"bearer "


class KeyRing:
    """Finds the holder of a key; one that was revoked is refused within ``REMEMBERED_S``."""

    def __init__(self, find: FindKey) -> None:
        self._find = find
        self._known: dict[bytes, tuple[KeyHolder, float]] = {}

    async def holder(self, authorization: bytes | None, now: float) -> KeyHolder:
        """The holder of the key in an ``Authorization`` header.

        Missing, malformed and unknown take the same way, so that neither answer nor time tells
        them apart; only hashes are compared.

        Raises:
            WrongKey: whatever was wrong.
        """
        digest = sha256(_token(authorization)).digest()
        known = self._remembered(digest, now)
        if known is not None:
            return known
        found = await self._find(digest.hex())
        if found is None:
            self._known.pop(digest, None)
            raise WrongKey("A valid key is needed: Authorization: Bearer <key>.")
        self._remember(digest, found, now)
        return found

    def remembered(self, authorization: bytes | None, now: float) -> KeyHolder | None:
        """The holder, if nobody has to be asked."""
        return self._remembered(sha256(_token(authorization)).digest(), now)

    def _remembered(self, digest: bytes, now: float) -> KeyHolder | None:
        known = self._known.get(digest)
        return known[0] if known is not None and known[1] > now else None

    def _remember(self, digest: bytes, holder: KeyHolder, now: float) -> None:
        if len(self._known) >= MAX_REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[digest] = (holder, now + REMEMBERED_S)


def _token(authorization: bytes | None) -> bytes:
    if authorization is None or authorization[: len(_BEARER)].lower() != _BEARER:
        return b""
    return authorization[len(_BEARER) :].strip()
