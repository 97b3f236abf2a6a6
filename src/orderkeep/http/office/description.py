"""The staff API described (OpenAPI 3.1): what Litestar knows, and the bodies we read ourselves."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from litestar import Litestar, Response, get

from orderkeep.board.filters import DEFAULT_LIMIT, MAX_LIMIT, NEEDS, Sort
from orderkeep.http.office import (
    admin,
    dead_letter_pages,
    destination_pages,
    letter_list,
    lists,
    lost_pages,
    reconcile_pages,
    session,
    source_pages,
)
from orderkeep.http.office.acts import KINDS
from orderkeep.http.office.gate import AnyRequest
from orderkeep.intake.submission import DraftBody, SubmissionBody
from orderkeep.orders.order import Risk, Stage

_COMPONENTS = "#/components/schemas/{name}"
_PROBLEM = {
    "description": "A problem; its type is a page that explains it",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                },
            }
        }
    },
}
_BODIES: Mapping[tuple[str, str], type] = {
    ("post", "/session"): session.SignInBody,
    ("patch", "/me"): session.MeBody,
    ("put", "/views"): lists.ViewBody,
    ("post", "/orders"): SubmissionBody,
    ("post", "/drafts"): DraftBody,
    ("put", "/drafts/{no}"): DraftBody,
    ("post", "/drafts/{no}/submit"): SubmissionBody,
    ("post", "/destinations/{name}/pause"): destination_pages.Why,
    ("post", "/destinations/{name}/resume"): destination_pages.Why,
    ("post", "/sources/{name}/step"): source_pages.TakeStep,
    ("post", "/sources/{name}/home"): source_pages.MoveHome,
    ("post", "/people"): admin.NewPerson,
    ("patch", "/people/{person_id}"): admin.ChangedPerson,
    ("post", "/partners"): admin.NewPartner,
    ("post", "/dead-letters/dry-run"): dead_letter_pages.DryRun,
    ("post", "/dead-letters/check"): dead_letter_pages.EditedLetter,
    ("post", "/dead-letters/replays"): dead_letter_pages.BeginReplay,
    ("post", "/dead-letters/replays/{id_}/{what}"): dead_letter_pages.TurnReplay,
    ("post", "/dead-letters/park"): dead_letter_pages.ParkLetters,
    ("post", "/dead-letters/groups/{fingerprint}/note"): letter_list.NoteGroup,
    ("post", "/lost/{row}/settle"): lost_pages.SettleLost,
    ("post", "/reconciliation/findings/{row}/decide"): reconcile_pages.DecideFinding,
    ("post", "/partners/{partner_id}/keys"): admin.NewKey,
    **{("post", f"/orders/{{no}}/{action}"): kind.body for action, kind in KINDS.items()},
}
_ORDERINGS = """`rank`: by priority, then what is due first. `due`: what is due first.
`changed`: what was changed last; it has no index of its own, and looks at orders one by one."""
_LISTED: Mapping[str, tuple[str, dict[str, Any]]] = {
    "stage": (
        "Stages, with commas between them; without it, every stage but CLOSED and CANCELLED.",
        {"type": "array", "items": {"type": "string", "enum": sorted(Stage)}},
    ),
    "risk": (
        "How the order stands to its deadline, with commas between them.",
        {"type": "array", "items": {"type": "string", "enum": sorted(Risk)}},
    ),
    "needs": (
        "What waits for a person, with commas between them; `any` for all of it.",
        {"type": "array", "items": {"type": "string", "enum": ["any", *sorted(NEEDS)]}},
    ),
    "claim": ("`mine`, `free`, or the login of whoever holds the order.", {"type": "string"}),
    "held": ("Only what is on hold.", {"type": "string", "enum": ["1", "true"]}),
    "channel": ("Where the order came from, such as `api` or `office`.", {"type": "string"}),
    "partner": ("The partner's id or name.", {"type": "string"}),
    "material": ("The code of a material in it.", {"type": "string"}),
    "q": ("A part of the number, of the partner's number, of a name.", {"type": "string"}),
    "sort": (
        _ORDERINGS,
        {"type": "string", "enum": [*Sort], "default": Sort.RANK.value},
    ),
    "after": ("`next` of the page before, unchanged, with the same filter.", {"type": "string"}),
    "limit": (
        "How many orders a page has at most.",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    ),
}
"""How a list of orders is asked for: read from the address by `board.filters`."""


def describe(app: Litestar, prefix: str) -> dict[str, Any]:
    """The whole description: Litestar cannot know the bodies, since we read them ourselves."""
    described = app.openapi_schema.to_schema()
    shapes = sorted(set(_BODIES.values()), key=lambda shape: shape.__name__)
    schemas, components = msgspec.json.schema_components(shapes, ref_template=_COMPONENTS)
    described.setdefault("components", {}).setdefault("schemas", {}).update(components)
    by_shape = dict(zip(shapes, schemas, strict=True))
    for (method, path), shape in _BODIES.items():
        operation = described["paths"][prefix + path][method]
        content = {"application/json": {"schema": by_shape[shape]}}
        operation["requestBody"] = {"required": True, "content": content}
    described["paths"][f"{prefix}/board"]["get"]["parameters"] = [*_listed()]
    for operations in described["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("400", None)
            operation["responses"]["default"] = _PROBLEM
    return described


def _listed() -> Iterator[dict[str, Any]]:
    for name, (said, schema) in _LISTED.items():
        one = {
            "name": name,
            "in": "query",
            "required": False,
            "description": said,
            "schema": schema,
        }
        yield one | ({"style": "form", "explode": False} if schema["type"] == "array" else {})


@get("/openapi.json", include_in_schema=False, sync_to_thread=False)
def description(request: AnyRequest) -> Response[dict[str, Any]]:
    """For whoever is signed in: strangers need not know what the staff can do."""
    return Response(describe(request.app, "/office/v1"))


HANDLERS = (description,)
