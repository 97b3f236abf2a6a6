"""Who is let in when more come than can be served: orders are the last to be turned away."""

from random import Random

import pytest

from orderkeep.http.admission import Admission, Bounds, Kind

BOUNDS = Bounds(crowd=10, few=2)
MANY = 50


class Loop:
    """A loop that reads ``requests`` in each turn; what it lets in takes time, the rest little."""

    def __init__(self, admission: Admission, serve_s: float = 0.004, refuse_s: float = 0.0) -> None:
        self.admission = admission
        self.now = 0.0
        self._serve_s, self._refuse_s = serve_s, refuse_s

    def turn(
        self, orders: int = 0, others: int = 0, waiting: int = 0, oldest_s: float = 0.0
    ) -> dict[Kind, int]:
        """One turn; returns how many of each were let in."""
        kinds = [Kind.ORDER] * orders + [Kind.OTHER] * others
        Random(orders + others).shuffle(kinds)
        let_in = dict.fromkeys(Kind, 0)
        self.admission.begin(self.now, waiting, oldest_s)
        for kind in kinds:
            admitted = self.admission.admits(kind, self.now)
            let_in[kind] += admitted
            self.now += self._serve_s if admitted else self._refuse_s
        self.admission.end(self.now)
        self.now += 0.0001
        return let_in


@pytest.fixture
def loop() -> Loop:
    return Loop(Admission(BOUNDS))


def test_a_burst_is_served_whole(loop: Loop) -> None:
    assert loop.turn(orders=MANY, others=MANY) == {Kind.ORDER: MANY, Kind.OTHER: MANY}
    assert loop.turn(orders=3, others=3) == {Kind.ORDER: 3, Kind.OTHER: 3}


def test_many_orders_again_and_again_are_let_in_for_a_part_of_each_turn(loop: Loop) -> None:
    for _ in range(10):
        let_in = loop.turn(orders=MANY)[Kind.ORDER]

    assert loop.admission.overloaded
    assert BOUNDS.few <= let_in == BOUNDS.orders_s / 0.004
    assert loop.admission.refused[Kind.ORDER] >= MANY - let_in
    assert loop.admission.refused[Kind.OTHER] == 0


def test_half_of_a_turn_is_for_orders_however_long_saying_no_takes() -> None:
    loop = Loop(Admission(BOUNDS), serve_s=0.004, refuse_s=0.001)
    for _ in range(50):
        began = loop.now
        let_in = loop.turn(orders=500)[Kind.ORDER]

    assert 0.4 < let_in * 0.004 / (loop.now - began) < 0.9


def test_when_an_order_is_refused_nothing_else_is_served(loop: Loop) -> None:
    for _ in range(10):
        loop.turn(orders=MANY, others=MANY)

    let_in = loop.turn(orders=MANY, others=MANY)

    assert 0 < let_in[Kind.ORDER] < MANY
    assert let_in[Kind.OTHER] == 0


def test_slow_turns_turn_away_others_and_no_order() -> None:
    loop = Loop(Admission(BOUNDS), serve_s=0.001)
    for _ in range(4):
        loop.turn(orders=MANY)

    assert loop.turn(orders=MANY, others=5) == {Kind.ORDER: MANY, Kind.OTHER: 0}


def test_turns_that_are_long_because_of_others_turn_away_no_order() -> None:
    loop = Loop(Admission(BOUNDS), refuse_s=0.004)
    for _ in range(10):
        let_in = loop.turn(orders=BOUNDS.crowd, others=MANY)

    assert let_in == {Kind.ORDER: BOUNDS.crowd, Kind.OTHER: 0}
    assert not loop.admission.overloaded


def test_one_short_turn_shows_that_nothing_is_standing(loop: Loop) -> None:
    for _ in range(3):
        loop.turn(orders=MANY - 40, others=0)  # no more than a crowd, however long it takes
        loop.turn(orders=1)

    assert loop.turn(orders=MANY, others=1) == {Kind.ORDER: MANY, Kind.OTHER: 1}


def test_orders_are_refused_until_a_while_after_the_last_refusal(loop: Loop) -> None:
    for _ in range(3):
        loop.turn(orders=MANY)
    loop.now += BOUNDS.calm_s / 2
    still = loop.turn(orders=MANY)[Kind.ORDER]
    loop.now += BOUNDS.calm_s * 1.1

    assert still < MANY
    assert loop.turn(orders=MANY)[Kind.ORDER] == MANY


@pytest.mark.parametrize(
    "oldest_s, expected",
    [(0.05, (20, 20)), (0.2, (20, 0)), (0.5, (0, 0))],
    ids=["quick disk", "slow disk", "too late"],
)
def test_a_slow_disk_turns_away_others_first(
    loop: Loop, oldest_s: float, expected: tuple[int, int]
) -> None:
    let_in = loop.turn(orders=20, others=20, waiting=100, oldest_s=oldest_s)

    assert (let_in[Kind.ORDER], let_in[Kind.OTHER]) == expected


def test_a_few_who_wait_long_are_a_slow_disk_and_not_too_many(loop: Loop) -> None:
    assert loop.turn(orders=5, waiting=BOUNDS.crowd, oldest_s=9.0)[Kind.ORDER] == 5


@pytest.mark.parametrize("seed", range(20))
def test_no_order_is_ever_refused_in_a_turn_in_which_another_kind_is_served(seed: int) -> None:
    dice, loop = Random(seed), Loop(Admission(BOUNDS), refuse_s=0.00002)
    for _ in range(300):
        orders, others = dice.choice([0, 3, 80, 200]), dice.choice([0, 5, 80])
        waiting, oldest_s = dice.choice([0, 200]), dice.choice([0.0, 0.2, 0.5])
        let_in = loop.turn(orders, others, waiting, oldest_s)

        assert let_in[Kind.ORDER] == orders or let_in[Kind.OTHER] == 0
        loop.now += dice.choice([0.0, 0.0, 0.0, 0.3])
