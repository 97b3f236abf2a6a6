"""The staff API described (OpenAPI 3.1): what Litestar knows, and the bodies we read ourselves."""

from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Litestar, Response, get

from orderkeep.http.office import (
    admin,
    dead_letter_pages,
    destination_pages,
    lists,
    lost_pages,
    reconcile_pages,
    session,
)
from orderkeep.http.office.acts import KINDS
from orderkeep.http.office.gate import AnyRequest
from orderkeep.intake.submission import DraftBody, SubmissionBody

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
    ("post", "/people"): admin.NewPerson,
    ("patch", "/people/{person_id}"): admin.ChangedPerson,
    ("post", "/partners"): admin.NewPartner,
    ("post", "/dead-letters/dry-run"): dead_letter_pages.DryRun,
    ("post", "/dead-letters/check"): dead_letter_pages.EditedLetter,
    ("post", "/dead-letters/replays"): dead_letter_pages.BeginReplay,
    ("post", "/dead-letters/replays/{id_}/{what}"): dead_letter_pages.TurnReplay,
    ("post", "/dead-letters/park"): dead_letter_pages.ParkLetters,
    ("post", "/lost/{row}/settle"): lost_pages.SettleLost,
    ("post", "/reconciliation/findings/{row}/decide"): reconcile_pages.DecideFinding,
    ("post", "/partners/{partner_id}/keys"): admin.NewKey,
    **{("post", f"/orders/{{no}}/{action}"): kind.body for action, kind in KINDS.items()},
}


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
    for operations in described["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("400", None)
            operation["responses"]["default"] = _PROBLEM
    return described


@get("/openapi.json", include_in_schema=False, sync_to_thread=False)
def description(request: AnyRequest) -> Response[dict[str, Any]]:
    """For whoever is signed in: strangers need not know what the staff can do."""
    return Response(describe(request.app, "/office/v1"))


HANDLERS = (description,)
