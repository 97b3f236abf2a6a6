"""The product under trial in one of its profiles: begun, harmed, brought back, judged."""

import os
import queue
import signal
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from threading import Thread

from orderkeep.testing.crew import ROLES, Crew, Hand
from orderkeep.testing.matrix.clients import Clients
from orderkeep.testing.matrix.verdict import Made, Shown, Verdict, judge
from orderkeep.testing.practice_mes import PracticeMesProcess
from orderkeep.testing.product import Gone, Product
from orderkeep.testing.shop import ARRIVED

DRAINED_WITHIN_S = 150.0
STRUCK_WITHIN_S = 120.0
LOOK_S = 0.1


class NotReached(Exception):
    """The fault did not strike: the cell proves nothing."""


class Works(ABC):
    """What a cell works on; ``victim`` is the process that is to be harmed."""

    def __init__(self, product: Product, mes: PracticeMesProcess, chance: Random) -> None:
        self.product = product
        self.mes = mes
        self.chance = chance
        self.role = ""

    @abstractmethod
    def begin(self, role: str = "", failpoint: str | None = None) -> None:
        """Start every process, ``role`` with a failpoint, which may strike before it is ready."""

    @abstractmethod
    def again(self) -> None:
        """Start another process for the victim, which is dead or does not move."""

    @abstractmethod
    def end(self) -> None:
        """Kill every process."""

    @property
    @abstractmethod
    def victim(self) -> int:
        """Its process id."""

    # --- harm -----------------------------------------------------------------------------------

    def said(self) -> str:
        """Everything that the product has logged."""
        log = self.product.folder / "orderkeep.log"
        return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""

    def wait_until_struck(self, act: Callable[[], None]) -> None:
        """Do something again and again until the failpoint has struck.

        Raises:
            NotReached: it has not, for long.
        """
        ends = time.monotonic() + STRUCK_WITHIN_S
        while '"failpoint.struck"' not in self.said():
            if time.monotonic() > ends:
                raise NotReached("the failpoint was not reached")
            if state_of(self.victim) in {"", "Z"} and '"failpoint.struck"' not in self.said():
                raise NotReached(f"the process ended by itself: {self.said()[-300:]}")
            with suppress(Gone):
                act()
            time.sleep(LOOK_S)

    def wait_until_stopped(self) -> None:
        """Return when the kernel says so."""
        wait_for(lambda: state_of(self.victim) == "T", "it was not stopped")

    def kill(self) -> None:
        """End the victim at once, also a stopped one."""
        self.signal(signal.SIGKILL)
        wait_for(lambda: state_of(self.victim) in {"", "Z"}, "it does not die")

    def signal(self, number: signal.Signals) -> None:
        """Send the victim a signal."""
        os.kill(self.victim, number)

    # --- judging --------------------------------------------------------------------------------

    @contextmanager
    def clients(self, *, with_files: bool = False) -> Iterator[Clients]:
        """Partners who send orders all the while."""
        with Clients(self.product, self.chance, with_files=with_files) as clients:
            yield clients

    def amid_orders(self, harm: Callable[[], object], role: str = "") -> Verdict:
        """Begin, harm while orders come in, and say what became of every order."""
        with self.clients() as clients:
            self.begin(role)
            clients.more()
            harm()
            clients.more()
            return self.verdict(clients)

    def verdict(
        self,
        clients: Clients,
        *,
        made: Callable[[], Made] | None = None,
        may_be_uncertain: bool = False,
        ask_mes: bool = True,
    ) -> Verdict:
        """Let everything come to rest, and say what became of every order."""
        clients.finish()
        shown = self._drained(clients.receipts, may_be_uncertain=may_be_uncertain)
        witness = made() if made else made_at(self.mes)
        verdict = judge(clients.receipts, shown, witness, may_be_uncertain=may_be_uncertain)
        verdict.wrong += clients.complaints + (self._under_way() if verdict.stuck else [])
        code, report = self.product.verify(ask_mes=ask_mes)
        if code != 0:
            verdict.wrong += [f"verify: {one}" for one in report.get("violations", [code])]
        return verdict

    def _drained(
        self, receipts: Mapping[str, str], *, may_be_uncertain: bool
    ) -> dict[str, Shown | None]:
        """Every order as it is shown, once all rest, or none has come to rest for long."""
        ends = time.monotonic() + DRAINED_WITHIN_S
        shown: dict[str, Shown | None] = {}
        # One after the other: looking at all of them all the time would keep the product from work.
        for ref, number in receipts.items():
            while True:
                with suppress(Gone):
                    shown[ref] = self._shown(number)
                if _rests(shown.get(ref), uncertain=may_be_uncertain) or time.monotonic() > ends:
                    break
                time.sleep(LOOK_S)
            # A slow machine brings one after the other to rest: they are late, and not stuck.
            if time.monotonic() < ends:
                ends = time.monotonic() + DRAINED_WITHIN_S
        return shown

    def _under_way(self) -> list[str]:
        """What the bridge knows of work orders that are still under way, and of the MES."""
        orders = self.product.rows(
            "SELECT reference, state, attempts, next_at, holder, detail FROM deliveries "
            "WHERE destination = 'mes' AND state IN ('pending', 'sending', 'uncertain')"
        )
        return [f"{row}" for row in (*orders, *self.product.rows("SELECT pace FROM destinations"))]

    def _shown(self, number: str) -> Shown | None:
        answer = self.product.ask("GET", f"/v1/orders/{number}")
        if answer.status_code == 404:
            return None
        if answer.status_code != 200:
            raise Gone
        told = answer.json()
        called_off = (told["cancel_request"] or {"refused": True})["refused"] is False
        return Shown(told["stage"], told["delivery"]["mes"], told["body_sha256"], called_off)


class Alone(Works):
    """Everything in one process over SQLite."""

    _starting: Thread | None = None

    def begin(self, role: str = "", failpoint: str | None = None) -> None:
        self.role = role
        if failpoint is None:
            assert self.product.start(), "it does not start"
            return
        self._starting = Thread(target=self.product.start, args=(failpoint,), daemon=True)
        self._starting.start()
        wait_for(lambda: self.product.pid != 0, "it was not started")

    def again(self) -> None:
        if state_of(self.product.pid) == "T":
            return  # Only one process may serve a SQLite file: the others wait for it.
        self.product.wait()
        if self._starting is not None:
            self._starting.join()
        assert self.product.start(), "it does not start again"

    def end(self) -> None:
        self.product.signal(signal.SIGKILL)
        self.product.wait()

    @property
    def victim(self) -> int:
        return self.product.pid


class Many(Works):
    """A process for every role, over PostgreSQL and RabbitMQ."""

    product: Crew
    hand: Hand

    def begin(self, role: str = "", failpoint: str | None = None) -> None:
        self.role = role or "bridge"
        crew = self.product
        others = [crew.add(one) for one in ROLES if one != self.role]
        self.hand = crew.add(self.role, failpoint=failpoint)
        crew.begin(*others)
        if failpoint is None:
            crew.begin(self.hand)
        else:
            Thread(target=self._begin_victim, daemon=True).start()

    def _begin_victim(self) -> None:
        with suppress(AssertionError, queue.Empty):  # Dead or stopped before it was ready.
            self.product.begin(self.hand)

    def again(self) -> None:
        crew, stays = self.product, state_of(self.victim) == "T"
        if not stays:
            self.hand.wait()
        other = crew.add(self.role)
        crew.begin(other)
        if not stays:
            self.hand = other

    def end(self) -> None:
        for hand in self.product.hands:
            hand.kill()
        self.product.hands.clear()

    @property
    def victim(self) -> int:
        return self.hand.process.pid


def wait_for(seen: Callable[[], bool], what: str, seconds: float = STRUCK_WITHIN_S) -> None:
    """Look again and again.

    Raises:
        TimeoutError: it was not so, for so long.
    """
    ends = time.monotonic() + seconds
    while not seen():
        if time.monotonic() > ends:
            raise TimeoutError(what)
        time.sleep(0.05)


def wait_while_it_goes_on(seen: Callable[[], bool], how_far: Callable[[], int], what: str) -> None:
    """Look again and again for as long as there is more each time, however slow the machine.

    Raises:
        TimeoutError: it was not so, and there was no more for long.
    """
    far, ends = how_far(), time.monotonic() + DRAINED_WITHIN_S
    while not seen():
        if (farther := how_far()) != far:
            far, ends = farther, time.monotonic() + DRAINED_WITHIN_S
        if time.monotonic() > ends:
            raise TimeoutError(what)
        time.sleep(LOOK_S)


def wait_until_made(works: Works, wanted: AbstractSet[str]) -> None:
    """Return when the MES has made everything that is wanted.

    Raises:
        TimeoutError: it has not, and made nothing more for long.
    """
    wait_while_it_goes_on(
        lambda: wanted <= works.mes.effects().keys(),
        lambda: works.mes.effects().total(),
        "not made",
    )


def made_at(mes: PracticeMesProcess) -> Made:
    """What the MES's journal says."""
    entries = mes.entries()
    bodies = {
        str(one.reference): one.submission_sha256
        for one in entries
        if one.effect == "created" and one.submission_sha256
    }
    return Made(mes.effects(), Counter(mes.effects("recalled")), bodies)


def _rests(shown: Shown | None, *, uncertain: bool) -> bool:
    if shown is None or (shown.being_cancelled and shown.stage != "CANCELLED"):
        return False
    unsure = uncertain and shown.state == "uncertain"
    return shown.stage == "CANCELLED" or shown.state in ARRIVED or unsure


def state_of(pid: int) -> str:
    """What the kernel calls it: R, S, T …; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return ""
