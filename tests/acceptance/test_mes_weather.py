"""A MES with a limit, that stalls, that is slow, that is paused: nothing lost, nothing twice.

The MES's own journal and counters judge: how many calls it had at once, how many it turned away,
and in which order the jobs were made.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orderkeep.testing.practice_mes import PracticeMesProcess
from orderkeep.testing.product import HEAD, Keys, Product
from orderkeep.testing.shop import UNHURRIED, Shop, check, running, until

MANY = 40
BOUND = 6
STALL_S = 12


@contextmanager
def at_work(
    folder: Path, template: tuple[Path, Keys], **settings: str
) -> Iterator[tuple[Product, PracticeMesProcess, Shop]]:
    """A product and a MES with a limit that it knows; the first orders are made."""
    flags = ("--limit", str(BOUND))
    with running(folder, template, *flags, floor=False, mes_concurrency=str(BOUND), **settings) as (
        product,
        mes,
    ):
        shop = Shop(product, wanted=3)
        product.start()
        until(shop.at_rest, "the first orders do not rest")
        yield product, mes, shop


def made(mes: PracticeMesProcess) -> list[str]:
    """The jobs in the order in which the MES made them."""
    return [str(one.reference) for one in mes.entries() if one.effect == "created"]


def how_far_behind(numbers: list[str]) -> int:
    """By how many places an order was made later than it should have been, at most."""
    return max(place - sorted(numbers).index(no) for place, no in enumerate(numbers))


def condition(product: Product) -> str:
    [mes] = product.act(HEAD, "/destinations", method="GET").json()["items"]
    return str(mes["condition"])


def wanted(product: Product) -> int:
    """Work orders that have not left."""
    [(count,)] = product.rows("SELECT count(*) FROM deliveries WHERE state = 'pending'")
    return int(count)


def test_a_limit_that_is_known_is_never_exceeded(
    template: tuple[Path, Keys], tmp_path: Path
) -> None:
    flags = ("--limit", str(BOUND), "--work", "0.02")
    with running(
        tmp_path, template, *flags, floor=False, mes_concurrency=str(BOUND), **UNHURRIED
    ) as (
        product,
        mes,
    ):
        shop = Shop(product, wanted=MANY)
        product.start()

        until(shop.at_rest, "not every order came to rest")

        stats = mes.ask("GET", "/practice/stats")
        assert stats["turned_away"] == 0
        assert stats["peak_in_flight"] <= BOUND
        check(product, shop, mes.effects())


def test_a_limit_that_nobody_told_is_found_and_then_kept_to(
    template: tuple[Path, Keys], tmp_path: Path
) -> None:
    flags = ("--limit", "2", "--work", "0.05")
    with running(tmp_path, template, *flags, floor=False, mes_concurrency="16", **UNHURRIED) as (
        product,
        mes,
    ):
        shop = Shop(product, wanted=MANY)
        product.start()

        until(shop.at_rest, "not every order came to rest")

        # The calls that were under way together when the first was refused, and hardly any after.
        assert mes.ask("GET", "/practice/stats")["turned_away"] <= 16
        assert product.rows("SELECT max(attempts) FROM deliveries") == [(1,)]
        mes.behave(lag_seconds=0.2)  # Who verifies looks up more at once than this MES lets.
        check(product, shop, mes.effects())


def test_nothing_falls_upon_a_mes_that_comes_back(
    template: tuple[Path, Keys], tmp_path: Path
) -> None:
    with at_work(tmp_path, template, **UNHURRIED) as (product, mes, shop):
        mes.kill()
        shop.wanted = MANY
        shop.send_all()
        until(lambda: condition(product) in {"away", "probing"}, "nobody notices that it is away")
        until(lambda: wanted(product) >= MANY - 3, "an order is not yet wanted")
        [(attempts,)] = product.rows("SELECT max(attempts) FROM deliveries")

        mes.start()
        until(shop.at_rest, "not every order came to rest")

        assert attempts <= 1, "an attempt was counted for what never left"
        stats = mes.ask("GET", "/practice/stats")
        assert stats["turned_away"] == 0
        assert how_far_behind(made(mes)) <= BOUND
        check(product, shop, mes.effects())


def test_a_mes_that_stalls_is_not_asked_by_everybody(
    template: tuple[Path, Keys], tmp_path: Path
) -> None:
    with at_work(tmp_path, template) as (product, mes, shop):
        # Longer than the bridge waits for an answer: whatever is asked meanwhile is uncertain.
        mes.behave(limit=BOUND, lag_seconds=0.2, stall_seconds=STALL_S)
        shop.wanted = MANY
        shop.send_all()
        until(lambda: condition(product) in {"away", "probing"}, "nobody notices that it stalls")

        until(shop.at_rest, "not every order came to rest")

        # A probe may find the places taken by calls that we gave up, each second as it was asked to
        # come back; nothing else may.
        assert mes.ask("GET", "/practice/stats")["turned_away"] <= STALL_S + 2
        check(product, shop, mes.effects())


def test_paused_by_a_person_it_rests_through_a_kill_and_goes_on_in_order(
    template: tuple[Path, Keys], tmp_path: Path
) -> None:
    with running(tmp_path, template, mes_concurrency=str(BOUND)) as (product, mes):
        shop = Shop(product, wanted=MANY)
        product.start()
        paused = product.act(HEAD, "/destinations/mes/pause", {"reason": "stocktaking"})
        assert paused.status_code == 200, paused.text
        shop.send_all()
        until(lambda: wanted(product) == MANY, "an order is not yet wanted")

        product.signal(signal.SIGKILL)
        product.wait()
        product.start()

        assert condition(product) == "paused"
        assert made(mes) == []
        product.act(HEAD, "/destinations/mes/resume", {"reason": "done"})
        until(shop.at_rest, "not every order came to rest")
        assert how_far_behind(made(mes)) <= BOUND
        check(product, shop, mes.effects())


def test_while_it_is_maintained_nothing_is_sent(
    template: tuple[Path, Keys], tmp_path: Path
) -> None:
    always = "00:00-12:00; 12:00-00:00"
    with running(tmp_path, template, mes_maintenance=always, time_zone="Asia/Tokyo") as (
        product,
        mes,
    ):
        shop = Shop(product)
        product.start()
        shop.send_all()
        until(lambda: wanted(product) == shop.wanted, "an order is not yet wanted")

        assert condition(product) == "maintenance"
        assert mes.entries() == []
