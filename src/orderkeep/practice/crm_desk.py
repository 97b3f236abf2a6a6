"""The practice CRM on a good day: remembers what it is told, and tells what its people decide."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import msgspec

from orderkeep.kernel.clock import Clock
from orderkeep.practice.far_side import Bookkeeper, Manners, error, json_answer
from orderkeep.practice.mes_calls import Call, Request, json_object, place
from orderkeep.practice.mes_faults import Answer
from orderkeep.practice.mes_journal import Entry, Journal

PAGE_SIZE = 200
AUTOPILOT: Mapping[str, str] = {"PRICE_CALCULATED": "approve", "SHIPPED": "close"}
"""What its people do with an order at these stages, without thinking."""

_ROUTES: Sequence[tuple[str, str, re.Pattern[str]]] = (
    ("tell", "PUT", re.compile(r"/api/orders/(?P<no>[^/]+)")),
    ("find", "GET", re.compile(r"/api/orders/(?P<no>[^/]+)")),
    ("commands", "GET", re.compile(r"/api/commands")),
    ("decide", "POST", re.compile(r"/api/commands")),
)


class CrmBehaviour(Manners, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the practice CRM works; ``refuses``: stages that it will not hear of."""

    operations: ClassVar[tuple[str, ...]] = ("tell", "find", "commands")

    lookup: bool = True
    refuses: tuple[str, ...] = ()


class CrmOrderKept(msgspec.Struct, kw_only=True):
    """An order as it was told last."""

    order_no: str
    version: int
    stage: str


class Memory:
    """What it was told and what was decided, rebuilt from the journal."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.orders: dict[str, CrmOrderKept] = {}
        self.decided: list[dict[str, Any]] = []
        for entry in entries:
            self.apply(entry)

    def apply(self, entry: Entry) -> None:
        """Take an effect into account; other entries change nothing."""
        if entry.effect == "told":
            no, stage = entry.reference or "", entry.status or ""
            kept = CrmOrderKept(order_no=no, version=entry.version or 0, stage=stage)
            self.orders[no] = kept
        elif entry.effect == "decided":
            self.decided.append(entry.said or {})


class CrmDesk(Bookkeeper):
    """Works on orders; every effect is an entry in the journal before it counts."""

    def __init__(self, journal: Journal, behaviour: CrmBehaviour, clock: Clock) -> None:
        deeds = {
            "tell": self._tell,
            "find": self._find,
            "commands": self._commands,
            "decide": self._decide,
        }
        super().__init__(journal, clock, deeds)
        self.behaviour = behaviour
        self.memory = Memory(journal.entries())

    def understand(self, request: Request) -> Call:
        """Which operation a request asks for; ``unknown`` when there is none at its path."""
        for op, method, pattern in _ROUTES:
            match = pattern.fullmatch(request.path)
            if match and method == request.method:
                no = match.groupdict().get("no")
                return Call(op, request, reference=no, posted=json_object(request.body))
        return Call("unknown", request)

    def note(self, call: Call, **facts: Any) -> Entry:
        """The same, with the version that was told."""
        return super().note(call, version=_version(call), **facts)

    def stranger(self, to: str) -> str:
        """Another order's id, or one nobody has."""
        others = (_id(no) for no in reversed(self.memory.orders) if _id(no) != to)
        return next(others, "C-OK-999999")

    @property
    def pretended(self) -> Answer:
        """An order that nobody was told of."""
        return Answer(200, b'{"id": "C-OK-999999", "order_no": "OK-999999", "version": 1}')

    def move_on(self) -> None:
        """Its people decide what is to be decided, once each."""
        known = {(said.get("order_no"), said.get("command")) for said in self.memory.decided}
        orders = self.memory.orders.values()
        wanted = {(one.order_no, word) for one in orders if (word := AUTOPILOT.get(one.stage))}
        for no, command in sorted(wanted - known):
            self._write({"order_no": no, "command": command})
        if wanted - known:
            self._journal.sync()

    # --- deeds ------------------------------------------------------------------------------------

    def _tell(self, call: Call) -> Answer:
        no, version, stage = call.reference, _version(call), call.posted.get("stage")
        if no is None or version is None or not isinstance(stage, str):
            return error(422, "version and stage are required")
        if stage in self.behaviour.refuses:
            return error(422, f"there is no stage {stage} here")
        known = self.memory.orders.get(no)
        if known is None or known.version < version:
            self.memory.apply(self.note(call, kind="effect", effect="told", status=stage))
        elif known.version > version:
            self.note(call, kind="effect", effect="overtaken", status=stage)
        return _shown(self.memory.orders[no])

    def _find(self, call: Call) -> Answer:
        known = self.memory.orders.get(call.reference or "")
        if known is None or not self.behaviour.lookup:
            return error(404, "no such order")
        return _shown(known)

    def _commands(self, call: Call) -> Answer:
        after = place(call.request.query.get("after"))
        if after is None:
            return error(400, "no such place in the feed")
        page = self.memory.decided[after : after + PAGE_SIZE]
        return json_answer(200, {"items": page, "next": str(after + len(page))})

    def _decide(self, call: Call) -> Answer:
        # Any word goes, also one that means nothing: the other side has to live with that.
        return json_answer(201, self._write(dict(call.posted)))

    def _write(self, said: dict[str, Any]) -> dict[str, Any]:
        numbered = {"id": f"D-{len(self.memory.decided) + 1:06d}", **said}
        entry = Entry(at=self._clock.now(), kind="effect", effect="decided", said=numbered)
        self._journal.append(entry)
        self.memory.apply(entry)
        return numbered


def _version(call: Call) -> int | None:
    told = call.posted.get("version")
    return told if isinstance(told, int) and not isinstance(told, bool) else None


def _id(no: str) -> str:
    return f"C-{no}"


def _shown(kept: CrmOrderKept) -> Answer:
    shown = {"id": _id(kept.order_no), **msgspec.to_builtins(kept)}
    return replace(json_answer(200, shown), mes_id=_id(kept.order_no))
