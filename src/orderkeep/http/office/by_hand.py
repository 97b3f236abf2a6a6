"""Orders and files that a person enters at the office."""

from typing import Any

import msgspec
from litestar import Response, get, post, put
from litestar.params import FromPath

from orderkeep.access.keys import OFFICE
from orderkeep.access.ports import Session
from orderkeep.access.rights import require
from orderkeep.files.upload import Uploader, announced_sha256
from orderkeep.http.office.bodies import raw_body
from orderkeep.http.office.gate import AnyRequest
from orderkeep.http.office.numbers import order_number
from orderkeep.http.office.parts import Office, OfficeDep, SessionDep
from orderkeep.http.office.shared import Shared
from orderkeep.http.refusals import BadIdempotencyKey
from orderkeep.intake.accept import Accepted, Sender
from orderkeep.intake.drafts import Drafts
from orderkeep.kernel.errors import Unavailable
from orderkeep.orders.events import Actor, ActorKind, Cause
from orderkeep.orders.order import Order, Stage

_MAX_KEY = 255


class Person(Sender, frozen=True):
    """A person of the office who enters an order for somebody."""

    login: str
    role: str

    @property
    def cause(self) -> Cause:
        actor = Actor(ActorKind.PERSON, self.login, self.role)
        return Cause(actor, "SubmitOrder", self.source, self.trace_id)


@post("/files")
async def upload(request: AnyRequest, office: OfficeDep, session: SessionDep) -> dict[str, Any]:
    require(session.person.role, "order.create")
    if office.files is None:
        raise Unavailable("Files are not taken in this process.")
    name = request.query_params.get("name", "")
    announced = announced_sha256(
        request.headers.get("content-digest"), request.headers.get("x-content-sha256")
    )
    by = f"person:{session.person.login}"
    stored = await office.files.take(Uploader(OFFICE, by), name, request.stream(), announced)
    return {
        "file_id": stored.id,
        "sha256": stored.sha256,
        "state": stored.state,
        "size_bytes": stored.size_bytes,
        "name": stored.name,
    }


@post("/orders", status_code=201)
async def submit(
    request: AnyRequest, office: OfficeDep, shared: Shared, session: SessionDep
) -> Response[dict[str, Any]]:
    require(session.person.role, "order.create")
    if office.intake is None:
        raise Unavailable("Orders are not taken in this process.")
    key = request.headers.get("idempotency-key", "")
    if not (0 < len(key) <= _MAX_KEY and key.isascii() and key.isprintable()):
        raise BadIdempotencyKey("Send an Idempotency-Key of 1 to 255 visible characters.")
    body = _with_reference(await raw_body(request), key)
    accepted = await office.intake.accept(_sender(office, session), key, body)
    shared.forget()
    return Response(_receipt(accepted), headers={"location": f"/orders/{accepted.order_no}"})


def _with_reference(body: bytes, key: str) -> bytes:
    """An order by hand may have no number of its own: the key then stands for it.

    A body that is not an object is left for the intake to refuse.
    """
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return body
    if "client_ref" in fields and bytes(fields["client_ref"]) not in {b"null", b'""'}:
        return body
    # A doubled name would be lost by reading it into a dict: only an absent one is added.
    reference = msgspec.json.encode(f"office-{key}"[:200])
    if "client_ref" in fields:
        return msgspec.json.encode(fields | {"client_ref": msgspec.Raw(reference)})
    start = body.index(b"{") + 1
    comma = b"," if fields else b""
    return body[:start] + b'"client_ref":' + reference + comma + body[start:]


def _sender(office: Office, session: Session) -> Person:
    now = office.clock.now()
    return Person(
        partner_id=OFFICE,
        channel="office",
        source="office",
        via=f"person:{session.person.login}",
        trace_id=office.ids.envelope_id(now).replace("-", ""),
        login=session.person.login,
        role=str(session.person.role),
    )


def _receipt(accepted: Accepted) -> dict[str, Any]:
    return {
        "order_no": accepted.order_no,
        "client_ref": accepted.client_ref,
        "stage": str(Stage.SUBMITTED),
        "receipt": {
            "id": accepted.receipt_id,
            "accepted_at": accepted.accepted_at,
            "body_sha256": accepted.body_sha256,
        },
        "promise": {"at": accepted.promise_at, "asked_for": accepted.promise_by},
        "replayed": accepted.replayed,
    }


# --- drafts -------------------------------------------------------------------------------------


@post("/drafts", status_code=201)
async def open_draft(
    request: AnyRequest, office: OfficeDep, session: SessionDep
) -> Response[dict[str, Any]]:
    order = await own_drafts(office, session).open(
        _sender(office, session), await raw_body(request)
    )
    return Response(_draft(order), headers={"location": f"/orders/{order.no}"})


@put("/drafts/{no:str}")
async def save_draft(
    request: AnyRequest, office: OfficeDep, session: SessionDep, no: FromPath[str]
) -> dict[str, Any]:
    drafts, body = own_drafts(office, session), await raw_body(request)
    return _draft(await drafts.save(order_number(no), _sender(office, session), body))


@post("/drafts/{no:str}/submit", status_code=201)
async def submit_draft(
    request: AnyRequest, office: OfficeDep, shared: Shared, session: SessionDep, no: FromPath[str]
) -> Response[dict[str, Any]]:
    drafts, number = own_drafts(office, session), order_number(no)
    body = _with_reference(await raw_body(request), number)
    accepted = await drafts.submit(number, _sender(office, session), body)
    shared.forget()
    return Response(_receipt(accepted), headers={"location": f"/orders/{accepted.order_no}"})


def own_drafts(office: Office, session: Session) -> Drafts:
    """The drafts, for somebody who may enter orders.

    Raises:
        NotAllowed, Unavailable: they may not, or no drafts are kept here.
    """
    require(session.person.role, "order.create")
    if office.drafts is None:
        raise Unavailable("Drafts are not kept in this process.")
    return office.drafts


def _draft(order: Order) -> dict[str, Any]:
    return {"order_no": order.no, "stage": str(order.stage), "version": order.version}


@get("/catalogue")
async def catalogue(office: OfficeDep) -> dict[str, Any]:
    if office.catalogue is None:
        raise Unavailable("There is no price book in this process.")
    book = office.catalogue()
    return {
        "book_version": book.book_version,
        "label": book.label,
        "currency": office.settings.currency,
        "materials": list(book.materials),
        "skus": list(book.skus),
    }


HANDLERS = (upload, submit, open_draft, save_draft, submit_draft, catalogue)
