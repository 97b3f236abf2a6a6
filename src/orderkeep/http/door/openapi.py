"""The public interface as an OpenAPI 3.1 document, from one table of operations.

Written as a table, not gathered from the routes: accepting an order is not a route, and a promise
to partners should change only when somebody changes it here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

import orderkeep
from orderkeep.delivery.cloud_events import BATCH, CloudEvent
from orderkeep.http.door import wire
from orderkeep.http.door.accepting import OrderAccepted
from orderkeep.http.door.bodies import AcceptPriceBody, CancelBody
from orderkeep.http.door.public_events import EventPage, StepPage
from orderkeep.http.problems import BUG, PROBLEMS, FaultShape, Problem
from orderkeep.intake.submission import SubmissionBody

JsonObject = dict[str, Any]

_REF = "#/components/schemas/{name}"
_PROBLEM = "application/problem+json"
_ALWAYS = (400, 404, 405, 408, 413, 414, 415, 429, 431, 500, 503)
_WITH_KEY = (401,)


class ProblemBody(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal (RFC 9457); ``type`` is the address of a page that explains it."""

    type: str
    title: str
    status: int
    detail: str | None = None
    request_id: str | None = None
    errors: list[FaultShape] = []
    order_no: str | None = None


class Health(msgspec.Struct, frozen=True):
    """Whether the process answers, or can do its work."""

    status: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as partners may rely on it."""

    method: str
    path: str
    id: str
    summary: str
    answer: type | None
    status: int = 200
    body: type | None = None
    refusals: tuple[int, ...] = ()
    parameters: tuple[JsonObject, ...] = ()
    headers: tuple[str, ...] = ()
    example: JsonObject | None = None
    open: bool = False
    """Needs no key."""
    description: str = ""


def _parameter(where: str, name: str, schema: JsonObject, text: str, **more: Any) -> JsonObject:
    needed = where == "path" or more.pop("required", False)
    return {
        "in": where,
        "name": name,
        "required": needed,
        "schema": schema,
        "description": text,
    } | more


_NO = _parameter(
    "path", "order_no", {"type": "string", "pattern": "^OK-[0-9]{6,17}$"}, "As in the receipt."
)
_FILE = _parameter(
    "path", "file_id", {"type": "string", "minLength": 1, "maxLength": 64}, "As answered."
)
_LIMIT = _parameter(
    "query", "limit", {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}, "A page."
)
_AFTER = _parameter(
    "query", "after", {"type": "string", "pattern": "^[0-9]{0,18}$"}, "What `next` said."
)
_AFTER_ORDER = _parameter(
    "query", "after", {"type": "string", "pattern": "^(OK-[0-9]{6,17})?$"}, "What `next` said."
)
_REFERENCE = _parameter(
    "query", "client_ref", {"type": "string", "minLength": 1, "maxLength": 200}, "Your number."
)
_NAME = _parameter(
    "query",
    "name",
    {"type": "string", "minLength": 1, "maxLength": 1000},
    "The file's name; characters that could do harm are left out.",
    required=True,
    example="ring.stl",
)
_KEY = _parameter(
    "header",
    "Idempotency-Key",
    {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "Makes a repetition safe, for ever: the same key and body get the first answer again.",
    required=True,
    example="3f0c8f0e-7d5e-4b46-9f8e-0d5d0f5b1a11",
)
_DIGEST = _parameter(
    "header",
    "X-Content-SHA256",
    {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
    "The hash of the bytes in hex; the file is refused if others arrive."
    " Content-Digest (RFC 9530) does the same.",
)
_LANGUAGE = _parameter("header", "Accept-Language", {"type": "string"}, "ru or en.")
_SLUG = _parameter(
    "path",
    "slug",
    {"type": "string", "enum": sorted({one.slug for one in [*PROBLEMS.values(), BUG]})},
    "As in a problem's type.",
)

SUBMISSION_EXAMPLE: JsonObject = {
    "client_ref": "R-1024",
    "items": [
        {"sku": "CHAIN-45", "quantity": 1, "engraving": "A & B"},
    ],
    "customer": {"name": "Анна Петрова", "email": "anna@example.com"},
    "delivery_address": {"city": "Москва", "street": "Тверская, 1"},
    "promise_by": "2031-02-14",
    "note": "A gift: no prices in the parcel, please.",
}

OPERATIONS: Sequence[Operation] = (
    Operation(
        "post",
        "/v1/files",
        "uploadFile",
        "Upload a model file",
        wire.FileView,
        status=201,
        refusals=(422,),
        parameters=(_NAME, _DIGEST),
        headers=("Location",),
        description="The raw bytes are the body. The id belongs to you; to others it is unknown.",
    ),
    Operation("get", "/v1/files/{file_id}", "getFile", "A file you uploaded", wire.FileView,
              parameters=(_FILE,)),
    Operation(
        "post",
        "/v1/orders",
        "submitOrder",
        "Submit an order",
        OrderAccepted,
        status=201,
        body=SubmissionBody,
        refusals=(409, 422),
        parameters=(_KEY,),
        headers=("Location", "Idempotency-Replayed"),
        example=SUBMISSION_EXAMPLE,
        description=(
            "The answer is a receipt: the order is on disk and will never be lost."
            " Your `client_ref` means this order for ever; the same one with another body is"
            " refused with 409 and your own order number."
        ),
    ),
    Operation("get", "/v1/orders", "listOrders", "Your orders, oldest first", wire.OrderPage,
              parameters=(_REFERENCE, _AFTER_ORDER, _LIMIT)),
    Operation("get", "/v1/orders/{order_no}", "getOrder", "Where an order is", wire.OrderView,
              parameters=(_NO,)),
    Operation("get", "/v1/orders/{order_no}/events", "getOrderEvents", "What happened to an order",
              StepPage, parameters=(_NO, _AFTER, _LIMIT)),
    Operation(
        "post",
        "/v1/orders/{order_no}/cancel",
        "cancelOrder",
        "Cancel an order",
        wire.OrderView,
        body=CancelBody,
        refusals=(409, 422),
        parameters=(_NO,),
        example={"reason": "The customer changed their mind"},
        description=(
            "At once while nothing has been sent to the workshop; afterwards it is a request that"
            " waits for proof that nothing is being made (`cancel_request`)."
        ),
    ),
    Operation(
        "post",
        "/v1/orders/{order_no}/accept-price",
        "acceptPrice",
        "Agree to the price",
        wire.OrderView,
        body=AcceptPriceBody,
        refusals=(409, 422),
        parameters=(_NO,),
        example={"version": 1},
    ),
    Operation(
        "get",
        "/v1/events",
        "listEvents",
        "Everything that happened to your orders",
        EventPage,
        parameters=(_AFTER, _LIMIT),
        headers=("Link",),
        description=(
            "Oldest first. Keep the id of the last event you handled; ask behind it. With"
            " `Accept: application/cloudevents-batch+json` they come as CloudEvents 1.0."
        ),
    ),
    Operation("get", "/v1/limits", "getLimits", "Your quota", wire.LimitsView),
    Operation("get", "/healthz", "healthz", "Whether the process answers", Health, open=True),
    Operation("get", "/readyz", "readyz", "Whether it can do its work", Health, open=True),
    Operation("get", "/openapi.json", "openapi", "This document", None, open=True),
    Operation("get", "/problems/{slug}", "problemPage", "What a problem means", None, open=True,
              parameters=(_SLUG, _LANGUAGE)),
)  # fmt: skip


@cache
def document() -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(openapi())


def openapi() -> JsonObject:
    """The document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "orderkeep",
            "version": orderkeep.__version__,
            "summary": "Orders of made-to-order pieces: never lost, never made twice.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "paths": _paths(),
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "headers": _headers(),
            "responses": _refusal_responses(),
        },
    }


def methods_at(path: str) -> list[str]:
    """The methods that an address takes."""
    plain = path.rstrip("/") or "/"
    return sorted(one.method.upper() for one in OPERATIONS if _pattern(one.path).fullmatch(plain))


@cache
def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{[a-z_]+\}", "[^/]+", path))


def _paths() -> JsonObject:
    paths: dict[str, JsonObject] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method] = _operation(one)
    return paths


def _operation(one: Operation) -> JsonObject:
    described: JsonObject = {
        "operationId": one.id,
        "summary": one.summary,
        "security": [] if one.open else [{"key": []}],
        "responses": _responses(one),
    }
    if one.description:
        described["description"] = one.description
    if one.parameters:
        described["parameters"] = list(one.parameters)
    if body := _request_body(one):
        described["requestBody"] = body
    return described


def _request_body(one: Operation) -> JsonObject | None:
    if one.id == "uploadFile":
        raw = {"schema": {"type": "string", "format": "binary", "minLength": 1}}
        return {"required": True, "content": {"application/octet-stream": raw}}
    if one.body is None:
        return None
    content: JsonObject = {"schema": {"$ref": _REF.format(name=one.body.__name__)}}
    if one.example:
        content["example"] = one.example
    return {"required": True, "content": {"application/json": content}}


def _responses(one: Operation) -> JsonObject:
    refusals = sorted({*_ALWAYS, *one.refusals, *(() if one.open else _WITH_KEY)})
    answers: JsonObject = {str(one.status): _answer(one)}
    for status in refusals:
        answers[str(status)] = {"$ref": f"#/components/responses/{status}"}
    if one.id == "readyz":
        answers["503"] = {"description": "Not ready", "content": _content(Health)}
    return answers


def _answer(one: Operation) -> JsonObject:
    answer: JsonObject = {"description": one.summary}
    if one.answer is not None:
        answer["content"] = _content(one.answer)
        if one.answer is EventPage:
            events = {"type": "array", "items": {"$ref": _REF.format(name=CloudEvent.__name__)}}
            answer["content"][BATCH] = {"schema": events}
    elif one.id == "openapi":
        answer["content"] = {"application/json": {"schema": {"type": "object"}}}
    else:
        answer["content"] = {"text/html": {"schema": {"type": "string"}}}
    names = [*one.headers, "X-Request-Id", *([] if one.open else _QUOTA)]
    answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    return answer


def _content(shape: type) -> JsonObject:
    return {"application/json": {"schema": {"$ref": _REF.format(name=shape.__name__)}}}


def _schemas() -> JsonObject:
    shapes = {one.answer for one in OPERATIONS} | {one.body for one in OPERATIONS}
    shapes |= {ProblemBody, CloudEvent}
    wanted = sorted((one for one in shapes if one is not None), key=lambda one: one.__name__)
    _, found = msgspec.json.schema_components(wanted, ref_template=_REF)
    _require_one_of_file_and_sku(found)
    return found


def _require_one_of_file_and_sku(schemas: JsonObject) -> None:
    item = schemas["ItemBody"]
    item["oneOf"] = [
        {"required": ["file_id", "material"], "properties": {"sku": {"type": "null"}}},
        {"required": ["sku"], "properties": {"file_id": {"type": "null"}}},
    ]


def _refusal_responses() -> JsonObject:
    known: dict[int, list[Problem]] = {}
    for problem in {*PROBLEMS.values(), BUG}:
        known.setdefault(problem.status, []).append(problem)
    wanted = sorted({*_ALWAYS, *_WITH_KEY, 409, 422})
    return {str(status): _refusal(status, known[status]) for status in wanted}


def _refusal(status: int, problems: Sequence[Problem]) -> JsonObject:
    titles = sorted({problem.title for problem in problems})
    refusal: JsonObject = {
        "description": "; ".join(titles),
        "content": {_PROBLEM: {"schema": {"$ref": _REF.format(name="ProblemBody")}}},
    }
    if status in {429, 503}:
        refusal["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    return refusal


_QUOTA = (
    "RateLimit-Policy",
    "RateLimit",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
)
_HEADERS: Mapping[str, tuple[str, str]] = {
    "Location": ("string", "Where it is from now on."),
    "Link": ("string", "The next page of a batch of CloudEvents, as `rel=next`, if there is one."),
    "Idempotency-Replayed": ("string", "`true` when this answer had been given before."),
    "X-Request-Id": ("string", "Names this request; tell it to support."),
    "Retry-After": ("integer", "Seconds to wait."),
    "RateLimit-Policy": ("string", "Your quota: q calls in w seconds."),
    "RateLimit": ("string", "What is left (r), and in how many seconds all of it is back (t)."),
    "RateLimit-Limit": ("integer", "Your quota."),
    "RateLimit-Remaining": ("integer", "What is left of it."),
    "RateLimit-Reset": ("integer", "Seconds until all of it is back."),
}


def _headers() -> JsonObject:
    return {
        name: {"schema": {"type": kind}, "description": text}
        for name, (kind, text) in _HEADERS.items()
    }
