"""Bodies that people's browsers send: small, strict, with every fault told."""

from typing import Any, TypeVar

from orderkeep.http.office.gate import AnyRequest
from orderkeep.http.refusals import BodyTooLarge
from orderkeep.intake.strict_json import StrictDecoder

MAX_BODY = 256 * 1024
T = TypeVar("T")


async def body_of(request: AnyRequest, shape: type[T]) -> T:
    """The request's body in this shape.

    Raises:
        MalformedBody, Invalid: with every fault.
        BodyTooLarge: more than any form of ours sends.
    """
    decoded: T = _decoder_of(shape).decode(await raw_body(request)).value
    return decoded


async def raw_body(request: AnyRequest) -> bytes:
    """The request's body as it came.

    Raises:
        BodyTooLarge: more than any form of ours sends.
    """
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY:
            raise BodyTooLarge(MAX_BODY)
        chunks.append(chunk)
    return b"".join(chunks)


def _decoder_of(shape: type[Any]) -> StrictDecoder[Any]:
    decoder = _decoders.get(shape)
    if decoder is None:
        decoder = _decoders[shape] = StrictDecoder(shape)
    return decoder


_decoders: dict[type[Any], StrictDecoder[Any]] = {}
