"""One cell of the matrix, and playing it."""

import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType, MappingProxyType

import msgspec

from orderkeep.testing.crew import Crew
from orderkeep.testing.matrix.servers import Servers
from orderkeep.testing.matrix.verdict import Verdict
from orderkeep.testing.matrix.works import Alone, Many, NotReached, Works
from orderkeep.testing.practice_mes import PracticeCrmProcess, PracticeMesProcess
from orderkeep.testing.product import Keys, Product, copy
from orderkeep.testing.shop import MES

PRACTICE_CRM = "practice:"
"""Instead of a CRM's address: one that the cell starts."""
EMBEDDED, SCALED_OUT = "embedded", "scaled-out"
OVER_WITHIN_S = 600


class CannotRun(Exception):
    """This machine cannot do the harm; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a cell is played."""

    profile: str
    servers: Servers
    folder: Path
    chance: Random

    @contextmanager
    def works(
        self,
        *flags: str,
        floor: bool = False,
        keys: Keys | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> Iterator[Works]:
        """A fresh product, not begun yet, and the practice MES it works for.

        ``flags`` are the MES's, ``settings`` and ``environment`` ours; ``floor`` leaves the MES
        aside; ``keys`` let clients in where ``settings`` name another PostgreSQL database.
        """
        with ExitStack() as stack:
            lag = () if "--lag" in flags else ("--lag", "0.2")
            mes = PracticeMesProcess(self.folder / "journal.jsonl", *lag, *flags)
            stack.enter_context(mes)
            far = {} if floor else {**MES, "mes_url": mes.address}
            if settings.get("crm_url") == PRACTICE_CRM:
                crm = stack.enter_context(PracticeCrmProcess(self.folder / "crm.jsonl"))
                settings = {**settings, "crm_url": crm.address}
            place = self.folder / "product"
            product = self._product(stack, place, keys, {**far, **settings})
            product.surround(environment)
            stack.enter_context(product)
            kind = Many if isinstance(product, Crew) else Alone
            yield kind(product, mes, self.chance)

    def _product(
        self, stack: ExitStack, place: Path, keys: Keys | None, settings: dict[str, str]
    ) -> Product:
        if self.profile == EMBEDDED:
            path, prepared = self.servers.template
            copy(path, place)
            return Product(place, prepared, **settings)
        url = settings.pop("database_url", None)
        if url is None:
            url = stack.enter_context(self.servers.database())
        if "transport_url" not in settings:
            settings["transport_url"] = stack.enter_context(self.servers.broker())
        return Crew(place, keys or self.servers.keys, url, **settings)


Play = Callable[[Scene], Verdict]


@dataclass(frozen=True, slots=True)
class Cell:
    """What is done to what, in which profile."""

    profile: str
    item: str
    fault: str
    play: Play
    fails: bool = False
    """A control: it has to lose orders, or the trial beside it proves nothing."""

    @property
    def name(self) -> str:
        """How it is called on the command line."""
        return f"{self.profile}/{self.item}/{self.fault}"


class Row(msgspec.Struct):
    """A line of the table."""

    item: str
    profile: str
    fault: str
    ran: bool
    seed: int
    seconds: float
    command: str
    verdict: Verdict
    why: str = ""
    """Why it could not run."""
    fails: bool = False

    @property
    def name(self) -> str:
        """The cell's."""
        return f"{self.profile}/{self.item}/{self.fault}"

    @property
    def bad(self) -> bool:
        """Whether the promise was broken, or nobody knows."""
        if not self.ran:
            return self.why.startswith("?")
        return self.verdict.broken != self.fails


def play(cell: Cell, seed: int, servers: Servers, folder: Path) -> Row:
    """Play a cell; whatever happens, there is a row."""
    begun = time.monotonic()
    command = f"make faults CELL='{cell.name}' SEED={seed}"
    row = Row(cell.item, cell.profile, cell.fault, True, seed, 0.0, command, Verdict())
    row.fails = cell.fails
    scene = Scene(cell.profile, servers, folder, Random(f"{seed}:{cell.name}"))
    try:
        with _deadline():
            row.verdict = cell.play(scene)
    except CannotRun as reason:
        row.ran, row.why = False, str(reason)
    except NotReached as reason:
        row.ran, row.why = False, f"? {reason}"
    except Exception as failure:  # noqa: BLE001  # A cell that breaks is a finding, not an end.
        row.verdict.wrong.append("".join(traceback.format_exception(failure))[-2000:])
    row.seconds = round(time.monotonic() - begun, 1)
    return row


@contextmanager
def _deadline() -> Iterator[None]:
    """Nothing waits for ever: a cell that hangs is ended, and its row says where it hung."""

    def over(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"the cell was not over within {OVER_WITHIN_S} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(OVER_WITHIN_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def need_root() -> None:
    """Mounting and network namespaces are root's.

    Raises:
        CannotRun: we are not root.
    """
    if os.geteuid() != 0:
        raise CannotRun("needs root")
