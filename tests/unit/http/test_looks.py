"""Who only looks keeps nobody waiting who brings an order."""

from orderkeep.http.looks import A_TURN, AT_ONCE, QUIET, Looks


def test_a_few_begin_at_a_time_in_the_order_in_which_they_came() -> None:
    looks, begun = Looks(), list[int]()
    for number in range(A_TURN + 1):
        # Its own number, not the loop's last; a default is more than ``arrived`` asks for.
        looks.arrived(lambda number=number: begun.append(number))  # type: ignore[misc]

    assert looks.begin(now=0.0, orders_wait=False) == 0.0
    assert begun == list(range(A_TURN))
    assert looks.wait


def test_while_orders_wait_lists_take_a_tenth_of_the_time() -> None:
    looks, begun, now = Looks(), list[None](), 0.0
    looks.arrived(lambda: begun.append(None))
    while now < 10.0:
        if looks.begin(now, orders_wait=True) == 0.0:
            now += 0.002
            looks.took(0.002, now)
            looks.left()
            looks.arrived(lambda: begun.append(None))
        looks.took(0.001, now)  # A turn in which none was begun changes nothing.
        now += 0.001

    assert 0.9 <= len(begun) * 0.002 * (1 + QUIET) / 10.0 <= 1.0


def test_enough_are_enough_until_one_leaves() -> None:
    looks = Looks()
    for _ in range(AT_ONCE):
        looks.arrived(lambda: None)
    assert looks.are_enough

    looks.left()

    assert not looks.are_enough
