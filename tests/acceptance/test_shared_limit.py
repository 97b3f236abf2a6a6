"""Two bridges and a far side that bears two calls at once: it never has to refuse one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orderkeep.testing import crm_house
from orderkeep.testing.crew import Crew
from orderkeep.testing.crm_house import House
from orderkeep.testing.postgres_server import PostgresServer
from orderkeep.testing.practice_mes import PracticeCrmProcess, PracticeMesProcess, PracticeProcess
from orderkeep.testing.product import Keys
from orderkeep.testing.shop import MES, UNHURRIED, Shop, check, until

LIMIT = 2
PATIENT_CRM = crm_house.CRM | crm_house.UNHURRIED

Template = tuple[PostgresServer, str, Keys]


@pytest.fixture
def mes(tmp_path: Path) -> Iterator[PracticeMesProcess]:
    """It answers the third call at once with "no room", and its journal says so."""
    flags = ("--lag", "0.2", "--limit", str(LIMIT), "--work", "0.1")
    with PracticeMesProcess(tmp_path / "journal.jsonl", *flags) as started:
        yield started


@pytest.fixture
def crm(tmp_path: Path) -> Iterator[PracticeCrmProcess]:
    """As the MES above."""
    flags = ("--limit", str(LIMIT), "--work", "0.2")
    with PracticeCrmProcess(tmp_path / "crm.jsonl", *flags) as started:
        yield started


@contextmanager
def crew(folder: Path, template: Template, **far: str) -> Iterator[Crew]:
    server, name, keys = template
    url = server.database(name)
    with Crew(folder / "crew", keys, url, **far) as started:
        yield started
    server.drop(url)


def senders(crew: Crew) -> set[str]:
    """Who holds a place."""
    rows = crew.rows("SELECT DISTINCT holder FROM destination_places WHERE holder IS NOT NULL")
    return {holder for (holder,) in rows}


def both_have_work(crew: Crew, shop: Shop) -> bool:
    """Whether both call; one more order in any case, so that there is something to call for."""
    shop.wanted += 1
    shop.send_all()
    return len(senders(crew)) == 2


def asked_for(far: PracticeProcess, *operations: str) -> bool:
    return set(operations) <= {one.op for one in far.entries()}


def refused(far: PracticeProcess) -> int:
    """How many calls found no room over there."""
    return sum(one.fault == "busy-before" for one in far.entries())


def test_two_bridges_share_the_limit_also_when_one_is_killed(
    shared_template: Template, mes: PracticeMesProcess, tmp_path: Path
) -> None:
    far = {**MES, **UNHURRIED, "mes_url": mes.address, "mes_concurrency": str(LIMIT)}
    with crew(tmp_path, shared_template, **far) as two:
        two.begin(two.add("door", "relay", "quoter"), first := two.add("bridge"), two.add("bridge"))
        shop = Shop(two)
        shop.wanted = 30
        shop.send_all()
        until(lambda: len(senders(two)) == 2, "one of them gets no place")

        first.kill()
        shop.wanted = 40

        until(shop.at_rest, "what one of them held is lost for ever")
        assert refused(mes) == 0
        check(two, shop, mes.effects())
        # The dead one's places are free once nothing it sent can be under way any more.
        until(lambda: len(senders(two)) <= 1, "the dead one keeps its places")


def test_they_share_the_crms_limit_too_for_telling_hearing_and_comparing(
    shared_template: Template, crm: PracticeCrmProcess, tmp_path: Path
) -> None:
    far = {**PATIENT_CRM, "crm_url": crm.address, "crm_concurrency": str(LIMIT)}
    far |= {"crm_compare_every": "1s"}
    with crew(tmp_path, shared_template, **far) as two:
        two.begin(two.add("door", "relay", "quoter"), first := two.add("bridge"), two.add("bridge"))
        one = House(two, crm, Shop(two, wanted=10))
        until(lambda: both_have_work(two, one.shop), "one of them gets no place")

        first.kill()
        one.shop.wanted += 10

        until(one.told_all, "what one of them held is lost for ever")
        until(lambda: asked_for(crm, "find", "commands"), "it is not asked")
        assert refused(crm) == 0
        one.check()
        until(lambda: len(senders(two)) <= 1, "the dead one keeps its places")


def test_what_one_is_refused_holds_both_back(
    shared_template: Template, crm: PracticeCrmProcess, tmp_path: Path
) -> None:
    """Nobody told them how little it bears."""
    far = {**PATIENT_CRM, "crm_url": crm.address, "crm_concurrency": "16"}
    with crew(tmp_path, shared_template, **far) as two:
        two.begin(two.add("door", "relay", "quoter"), two.add("bridge"), two.add("bridge"))
        one = House(two, crm, Shop(two, wanted=10))
        until(lambda: both_have_work(two, one.shop), "one of them gets no place")
        one.shop.wanted += 20

        until(one.told_all, "the CRM does not know all")

        # The calls that were under way together when the first was refused, and hardly any after.
        assert 0 < refused(crm) <= 16
        one.check()
