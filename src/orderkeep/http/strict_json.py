"""Reading JSON bodies over HTTP: size, type and encoding first, then the strict reading."""

from typing import Any, TypeVar

from orderkeep.http.refusals import BodyTooLarge, UnsupportedBody
from orderkeep.intake.strict_json import MULTILINE, MalformedBody, Strict, StrictDecoder

T = TypeVar("T")
MAX_BODY_BYTES = 256 * 1024

__all__ = [
    "MAX_BODY_BYTES",
    "MULTILINE",
    "ClientGone",
    "MalformedBody",
    "Strict",
    "StrictDecoder",
    "read_body",
    "read_json",
]


class ClientGone(Exception):
    """The client went away before its request had come whole; nobody waits for an answer."""


async def read_json(
    decoder: StrictDecoder[T], headers: dict[bytes, bytes], receive: Any
) -> Strict[T]:
    """Read and decode a JSON body.

    Raises:
        UnsupportedBody, BodyTooLarge, MalformedBody, Invalid: refused.
        ClientGone: there is nobody to answer.
    """
    require_json(headers)
    return decoder.decode(await read_body(headers, receive, MAX_BODY_BYTES))


def require_json(headers: dict[bytes, bytes]) -> None:
    """Refuse what does not say that it is plain JSON."""
    kind = headers.get(b"content-type", b"")
    if kind != b"application/json" and not _is_json(kind):
        raise UnsupportedBody("The body must be application/json in UTF-8.")
    require_plain(headers)


def require_plain(headers: dict[bytes, bytes]) -> None:
    """Refuse an encoded body: a small one may unpack into gigabytes."""
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise UnsupportedBody("The body must not be encoded.")


async def read_body(headers: dict[bytes, bytes], receive: Any, limit_bytes: int) -> bytes:
    """The whole body, if it is not too large; a declared length is refused before it is read."""
    declared = headers.get(b"content-length")
    if declared is not None and (len(declared) > 18 or int(declared) > limit_bytes):
        raise BodyTooLarge(limit_bytes)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        whole: bytes = message.get("body", b"")
        if len(whole) > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        return whole
    return await _gather(message, receive, limit_bytes)


async def _gather(message: Any, receive: Any, limit_bytes: int) -> bytes:
    body = bytearray()
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        if not message.get("more_body"):
            return bytes(body)
        message = await receive()


def _is_json(kind: bytes) -> bool:
    essence, _, parameters = kind.partition(b";")
    if essence.strip().lower() != b"application/json":
        return False
    charset = parameters.strip().lower().replace(b'"', b"").replace(b" ", b"")
    return charset in {b"", b"charset=utf-8", b"charset=utf8"}
