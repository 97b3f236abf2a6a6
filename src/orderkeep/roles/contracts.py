"""Every message that crosses a border of ours, with its JSON Schema; written from the code.

What was once promised stays: a schema that changes needs a new version beside the old one.
``make reference`` adds schemas of new messages to ``docs/reference/schemas`` and changes none.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import msgspec

from orderkeep.adapters.crm_http.shapes import CrmCommand, CrmCommands, CrmNews, CrmOrderShown
from orderkeep.adapters.mes_http.shapes import MesJobShown, MesOrder, MesPage
from orderkeep.delivery.cloud_events import CloudEvent
from orderkeep.http.door.event_data import FACTS, Announcement
from orderkeep.orders.messages import BODIES

JsonObject = dict[str, Any]
DRAFT = "https://json-schema.org/draft/2020-12/schema"
_CRM: Sequence[tuple[str, type[msgspec.Struct]]] = (
    ("command", CrmCommand),
    ("commands", CrmCommands),
    ("news", CrmNews),
    ("order", CrmOrderShown),
)
_WORDS_FOR_READERS = {"description", "title"}


@dataclass(frozen=True, slots=True)
class Contract:
    """One kind and version of a message.

    ``family`` is ``envelopes`` (between our own processes), ``events`` (to partners and whoever
    else listens), ``mes`` or ``crm``. ``shape`` is the whole message, for an envelope its body.
    """

    family: str
    name: str
    shape: Any
    told: type[msgspec.Struct]
    """Whose docstring says what it means."""

    @property
    def place(self) -> str:
        """Where its schema and its sample lie, without ending."""
        return f"{self.family}/{self.name}"

    @property
    def key(self) -> str:
        """Its name among messages of all families."""
        return f"{self.family}.{self.name}"

    @property
    def meaning(self) -> str:
        """The first sentence of what it says."""
        return " ".join((self.told.__doc__ or "").split("\n\n")[0].split()).replace("``", "`")


def contracts() -> Iterator[Contract]:
    """All of them, by family and name."""
    for (kind, version), body in sorted(BODIES.items()):
        yield Contract("envelopes", f"{kind}.v{version}", body, body)
    for type_, facts in sorted(FACTS.items()):
        yield Contract("events", type_, event_shape(type_), facts)
    for name, shape in (("job", MesJobShown), ("jobs", MesPage), ("order", MesOrder)):
        yield Contract("mes", f"{name}.v1", shape, shape)
    for name, said in _CRM:
        yield Contract("crm", f"{name}.v1", said, said)


@cache
def event_shape(type_: str) -> type[msgspec.Struct]:
    """A CloudEvent whose data holds the facts of one public type."""
    name = "".join(word.title() for word in type_.replace("_", ".").split("."))
    data = msgspec.defstruct(
        f"{name}Data", [("facts", FACTS[type_])], bases=(Announcement,), frozen=True, kw_only=True
    )
    fields = [("type", Literal[type_]), ("data", data)]
    return msgspec.defstruct(name, fields, bases=(CloudEvent,), frozen=True, kw_only=True)


def schema(contract: Contract) -> JsonObject:
    """The message as a JSON Schema that stands alone."""
    found = msgspec.json.schema(contract.shape)
    return {"$schema": DRAFT, "title": contract.key, **found}


def components(shapes: Sequence[Any], template: str) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Schemas that share what they have in common."""
    return msgspec.json.schema_components(shapes, ref_template=template)


def promise(found: Any) -> Any:
    """A schema without the words that are for readers only: these may change."""
    if isinstance(found, dict):
        named = found.get("properties", {})
        kept = {name: value for name, value in found.items() if name not in _WORDS_FOR_READERS}
        return {
            name: {one: promise(named[one]) for one in named}
            if name == "properties"
            else promise(value)
            for name, value in kept.items()
        }
    return [promise(one) for one in found] if isinstance(found, list) else found
