"""The whole product under load: killed at any moment, stopped, drained, doubled, lied to."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from orderkeep.testing.practice_mes import PracticeMesProcess
from orderkeep.testing.product import Gone, Keys, Product
from orderkeep.testing.shop import ARRIVED, Shop, check, running, until

LONG = bool(os.environ.get("ORDERKEEP_ALL_FAULTS"))
"""Set by ``make faults``: more rounds, more kinds."""
ROUNDS = 20 if LONG else 3
LOAD = 40
ALL = (
    "500-before",
    "500-after",
    "502-after",
    "hang-after",
    "reset-before",
    "reset-after",
    "garbage-after",
    "bad-json-after",
    "truncated-after",
    "wrong-id",
    "html-after",
)
SHORT = (
    "500-before",
    "500-after",
    "hang-after",
    "reset-after",
    "garbage-after",
    "wrong-id",
    "html-after",
)
AMBIGUOUS = ALL if LONG else SHORT
"""What a MES may do to one request in three, before or after its work."""
BLIND = ("500-before", "500-after", "hang-after", "html-after") if LONG else ("500-after",)


def load(shop: Shop) -> threading.Thread:
    """Send orders beside the test until the product dies or all are answered."""

    def send() -> None:
        try:
            shop.send_all()
        except Gone:
            return

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@contextmanager
def under_load(
    folder: Path, template: tuple[Path, Keys]
) -> Iterator[tuple[Product, PracticeMesProcess, Shop, threading.Thread]]:
    """The product in the middle of taking orders, and who sends them."""
    with running(folder, template) as (product, mes):
        shop = Shop(product, wanted=LOAD)
        product.start()
        sender = load(shop)
        until(lambda: len(shop.receipts) > 3, "no order was taken")
        yield product, mes, shop, sender


def test_killed_at_any_moment_under_load(template: tuple[Path, Keys], tmp_path: Path) -> None:
    chance = Random(20261123)
    with running(tmp_path, template) as (product, mes):
        shop = Shop(product, wanted=LOAD)
        for _ in range(ROUNDS):
            product.start()
            shop.wanted += LOAD
            sender = load(shop)
            time.sleep(chance.uniform(0.02, 0.8))
            product.signal(signal.SIGKILL)
            assert product.wait() == -9
            sender.join()
        product.start()

        until(shop.at_rest, "not every order came to rest")
        check(product, shop, mes.effects())


def test_told_to_end_it_finishes_what_it_holds(template: tuple[Path, Keys], tmp_path: Path) -> None:
    with under_load(tmp_path, template) as (product, mes, shop, sender):
        product.signal(signal.SIGTERM)

        assert product.wait() == 0
        sender.join()
        assert product.rows("SELECT count(*) FROM deliveries WHERE state = 'sending'") == [(0,)]
        product.start()
        until(shop.at_rest, "not every order came to rest")
        check(product, shop, mes.effects())


def test_frozen_and_thawed_it_goes_on(template: tuple[Path, Keys], tmp_path: Path) -> None:
    with under_load(tmp_path, template) as (product, mes, shop, sender):
        # Longer than every deadline of the bridge: its requests are over when it wakes.
        product.signal(signal.SIGSTOP)
        time.sleep(7)
        product.signal(signal.SIGCONT)
        sender.join()

        until(shop.at_rest, "not every order came to rest")
        check(product, shop, mes.effects())


def test_a_second_process_on_the_same_database_is_refused_with_a_sentence(
    template: tuple[Path, Keys], tmp_path: Path
) -> None:
    with running(tmp_path, template) as (product, mes):
        shop = Shop(product)
        product.start()

        code, sentence = product.refused()

        assert code != 0
        assert "Another orderkeep serves" in sentence
        assert "Traceback" not in sentence
        until(shop.at_rest, "the first process does not go on")
        check(product, shop, mes.effects())


@pytest.mark.parametrize("fault", AMBIGUOUS)
def test_whatever_a_mes_with_look_up_answers_each_order_is_made_once(
    fault: str, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    told = ("--fault", f"{fault}:p=0.34", "--seed", "7")
    with running(tmp_path, template, *told) as (product, mes):
        shop = Shop(product, wanted=12)
        product.start()

        until(shop.at_rest, "not every order came to rest")

        check(product, shop, mes.effects())


@pytest.mark.parametrize("fault", BLIND)
def test_without_a_look_up_what_may_be_there_waits_for_a_person(
    fault: str, template: tuple[Path, Keys], tmp_path: Path
) -> None:
    told = ("--fault", f"{fault}:p=0.34", "--seed", "7", "--no-lookup")
    opened = running(tmp_path, template, *told, mes_lookup="off", mes_recall="off")
    with opened as (product, mes):
        shop = Shop(product, wanted=12)
        product.start()

        until(lambda: _known(product, shop), "an order is neither there nor shown as uncertain")

        made = mes.effects()
        assert max(made.values()) == 1, made
        states = {no: _state(shop, ref) for ref, no in shop.receipts.items()}
        assert "uncertain" in states.values()
        for no, state in states.items():
            assert state == "uncertain" or made[no] == 1, f"{no} is said to be there"
        shown = product.rows("SELECT count(*) FROM orders WHERE needs_person = 'uncertain'")
        assert shown == [(list(states.values()).count("uncertain"),)]


def _state(shop: Shop, ref: str) -> str:
    delivery = shop.order(ref)["delivery"]
    assert isinstance(delivery, dict)
    return str(delivery["mes"])


def _known(product: Product, shop: Shop) -> bool:
    """Whether every order is there, or waits for a person who is shown why."""
    shop.send_all()
    open_rows = product.rows(
        "SELECT count(*) FROM deliveries WHERE state IN ('pending', 'sending')"
        " OR (state = 'uncertain' AND next_at IS NOT NULL)"
    )
    states = [_state(shop, ref) for ref in shop.receipts]
    return open_rows == [(0,)] and all(state in ARRIVED | {"uncertain"} for state in states)
