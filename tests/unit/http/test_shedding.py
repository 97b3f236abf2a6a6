"""How many connections stay where orders are kept, when far more comes than can be: simulated.

An order takes a third of a millisecond of the one event loop, a refusal a seventh of that, and
handing a connection over or taking it back more than a refusal: as measured. Requests come on
3,000 connections, one at a time on each, whatever becomes of the others.
"""

from collections import deque
from itertools import cycle
from random import Random

import pytest

from orderkeep.http.admission import BOUNDS, Admission, Kind, Why
from orderkeep.http.shedding import PATIENCE_S, TICK_S
from orderkeep.http.strain import BEARABLE

CONNECTIONS = 3000
ORDER_S, REFUSAL_S, AWAY_S, BACK_S = 0.36e-3, 0.05e-3, 0.1e-3, 0.2e-3
ELSEWHERE_S = 0.001
"""What another process takes to say no; it waits for no turn of ours."""
WARM_S, SECONDS = 5.0, 25.0


class Street:
    """An open model at a multiple of the capacity; with ``helped`` another process says no."""

    def __init__(self, factor: float, seed: int, *, helped: bool) -> None:
        self.admission = Admission(BOUNDS)
        self._dice, self._helped = Random(seed), helped
        self._rate = factor / ORDER_S
        self._next_at = self._looked_at = self.now = 0.0
        self._idle = deque(range(CONNECTIONS))
        self._queue: deque[float] = deque()
        self._away: dict[int, float] = {}
        self._asked: dict[int, float] = {}
        self._retry_s = cycle((1, 2, 3))
        self._shed = self._surplus = self._room = 0
        self.kept: list[float] = []
        self.refused: list[float] = []

    def run(self) -> None:
        while self.now < SECONDS:
            self._arrive()
            if self.now - self._looked_at > TICK_S and self._helped:
                self._look()
            began = self.now
            self._turn()
            self.now += 0.0005 if self.now == began else 0.0

    def _arrive(self) -> None:
        while self._next_at <= self.now:
            self._queue.append(self._next_at)
            self._next_at += self._dice.expovariate(self._rate)
        while self._queue and self._idle:
            self._ask(self._idle.popleft(), self._queue.popleft())

    def _ask(self, who: int, due: float) -> None:
        if who not in self._away:
            self._asked[who] = due
        elif self._room > 0 and self.now >= self._away[who]:
            self._room -= 1
            del self._away[who]
            self._asked[who] = due
            self.now += BACK_S
        else:
            self._away[who] = self.now + next(self._retry_s)
            self._shed += 1
            self._answered(who, self.now - ELSEWHERE_S, self.refused)

    def _answered(self, who: int, due: float, whom: list[float]) -> None:
        self._idle.append(who)
        if due > WARM_S:
            whom.append(self.now - due)

    def _look(self) -> None:
        self._looked_at = self.now
        self.admission.relieved = self.admission.overloaded
        self.admission.refuses(Kind.ORDER, Why.SHED, self.now, self._shed)
        here = CONNECTIONS - len(self._away)
        moves = self.admission.surplus(here, len(self._away), self.now)
        self._shed, self._surplus = 0, max(0, moves)
        unused, self._room = self._room, max(0, -moves)
        for who in list(self._away)[:unused]:
            del self._away[who]
            self.now += BACK_S

    def _turn(self) -> None:
        asked, self._asked = list(self._asked.items()), {}
        self._dice.shuffle(asked)
        self.admission.begin(self.now, 0, 0.0)
        admitted = [one for one in asked if self._is_admitted(*one)]
        self.admission.end(self.now)
        for who, due in admitted:  # their commit takes about as long again
            self._answered(who, due - 0.01, self.kept)

    def _is_admitted(self, who: int, due: float) -> bool:
        admitted = self.admission.admits(Kind.ORDER, self.now)
        self.now += ORDER_S if admitted else REFUSAL_S
        if not admitted:
            self._answered(who, due, self.refused)
        if self.admission.relieved and (not admitted or self._surplus > 0):
            self._surplus -= admitted
            self._away[who] = self.now + PATIENCE_S
            self.now += AWAY_S
        return admitted


def below_s(taken: list[float], share: float) -> float:
    return sorted(taken)[int(len(taken) * share)]


@pytest.mark.parametrize("factor", [2.0, 5.0])
def test_what_is_kept_is_kept_soon_and_what_is_refused_is_refused_at_once(factor: float) -> None:
    street = Street(factor, seed=1, helped=True)
    street.run()

    capacity = (SECONDS - WARM_S) / ORDER_S
    late = sum(one > 0.05 for one in street.refused) / len(street.refused)
    assert len(street.kept) >= 0.9 * capacity
    assert below_s(street.kept, 0.99) < 0.5
    assert late < 0.01


def test_alone_one_loop_keeps_half_of_what_it_could_at_five_times_its_capacity() -> None:
    street = Street(5.0, seed=1, helped=False)
    street.run()

    assert len(street.kept) < 0.6 * (SECONDS - WARM_S) / ORDER_S


def test_nobody_is_sent_away_while_turns_are_short() -> None:
    admission = Admission(BOUNDS)
    for n in range(1, 100):
        admission.begin(n / 100, 0, 0.0)
        admission.end(n / 100 + 0.009)

    assert admission.surplus(here=100, elsewhere=0, now=1.0) == 0
    assert admission.surplus(here=100, elsewhere=50, now=2.0) == -25, "nothing was asked: come back"


@pytest.mark.parametrize("used, back", [(0.9, 20), (0.4, 250), (0.96, 0)])
def test_the_more_time_is_left_over_the_more_come_back(used: float, back: int) -> None:
    admission = Admission(BOUNDS)
    admission.surplus(here=1000, elsewhere=0, now=0.0)
    for n in range(100):
        admission.begin(n / 100, 0, 0.0)
        admission.end(n / 100 + used / 100)

    assert admission.surplus(here=1000, elsewhere=2000, now=1.0) == -back


def test_where_nobody_is_left_some_come_back() -> None:
    admission = Admission(BOUNDS)
    admission.surplus(here=0, elsewhere=3000, now=0.0)

    assert admission.surplus(here=0, elsewhere=3000, now=1.0) == -BEARABLE.regain_few


def test_nobody_is_sent_away_for_turns_that_are_long_because_of_others() -> None:
    admission = Admission(BOUNDS)
    for n in range(1, 5):
        admission.begin(float(n), 0, 0.0)
        admission.admits(Kind.ORDER, float(n))
        admission.end(n + 0.5)

    assert admission.surplus(here=100, elsewhere=10, now=5.0) == 0


def overloaded() -> Admission:
    admission = Admission(BOUNDS)
    admission.overloaded = True
    admission.surplus(here=0, elsewhere=0, now=0.0)
    return admission


def test_orders_that_wait_for_the_disk_send_some_away_and_let_nobody_come_back() -> None:
    admission = overloaded()
    for n in range(10):  # The loop has time left, and the disk has none.
        admission.begin(n / 100, 600, 0.1)
        admission.end(n / 100 + 0.001)

    assert admission.surplus(here=1000, elsewhere=500, now=0.1) == 20


def test_a_disk_that_has_been_done_with_all_once_is_no_queue() -> None:
    admission = overloaded()
    for n in range(10):
        admission.begin(n / 100, 0 if n == 5 else 600, 0.1)
        admission.end(n / 100 + 0.001)

    assert admission.surplus(here=1000, elsewhere=500, now=0.1) < 0


def test_few_orders_that_wait_long_are_a_slow_disk_and_not_too_many() -> None:
    admission = overloaded()
    admission.begin(0.0, 200, 0.3)
    admission.end(0.001)

    assert admission.surplus(here=1000, elsewhere=500, now=0.1) < 0


def test_a_turn_that_is_not_over_is_not_taken_for_time_left_over() -> None:
    admission = overloaded()
    admission.begin(0.0, 0, 0.0)

    assert admission.surplus(here=1000, elsewhere=2000, now=0.1) == 20


def test_a_late_disk_has_orders_refused_elsewhere_and_keeps_no_list_waiting_after_it() -> None:
    admission = Admission(BOUNDS)
    admission.begin(0.0, 1000, 0.5)

    assert not admission.admits(Kind.ORDER, 0.0)
    assert admission.needs_relief

    admission.begin(0.1, 0, 0.0)

    assert admission.admits(Kind.OTHER, 0.1)
    assert not admission.needs_relief
