"""Roles that nobody signs in to tell their numbers at a port of their own."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from orderkeep.adapters.embedded import NOBODY
from orderkeep.http.admission import Kind
from orderkeep.ledger.balance import Class
from orderkeep.observe.traffic import Passed
from orderkeep.testing.crew import Crew, Hand
from orderkeep.testing.postgres_server import PostgresServer
from orderkeep.testing.product import Keys
from orderkeep.testing.rabbitmq_node import RabbitNode
from orderkeep.testing.shop import Shop, until

ALONE = ("relay", "bridge", "quoter", "watch", "office")
RULES = Path(__file__).parents[2] / "deploy" / "prometheus"


@pytest.fixture(scope="module")
def crew(
    shared_template: tuple[PostgresServer, str, Keys], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Crew]:
    """A role each, over a RabbitMQ, and two doors behind one port."""
    server, template, keys = shared_template
    url = server.database(template)
    folder = tmp_path_factory.mktemp("numbers")
    with RabbitNode() as node:
        asked = {"transport_url": node.url, "broker_management_url": node.management_url}
        with Crew(folder, keys, url, metrics_port="0", **asked) as crew:
            crew.begin(crew.add("door", workers=2), *(crew.add(role) for role in ALONE))
            yield crew
    server.drop(url)


def ask(hand: Hand, path: str = "/metrics") -> httpx.Response:
    """A call on a connection of its own."""
    address = f"http://127.0.0.1:{hand.ports['metrics']}{path}"
    return httpx.get(address, trust_env=False, timeout=60)


@pytest.mark.parametrize(
    "role, told",
    [
        (
            "relay",
            [
                'orderkeep_envelopes_total{place="price.wanted",what="published"} 1.0',
                'orderkeep_envelopes_total{place="price.wanted",what="confirmed"} 1.0',
                'orderkeep_hop_seconds_count{hop="confirm",kind="price.wanted"} 1.0',
                'orderkeep_broker_connected{link="publish"} 1.0',
            ],
        ),
        (
            "quoter",
            [
                'orderkeep_envelopes_total{place="quoting",what="delivered"} 1.0',
                'orderkeep_envelopes_total{place="price.wanted",what="handled"} 1.0',
            ],
        ),
        (
            "watch",
            [
                'orderkeep_flow_envelopes{class="published",consumer="quoting"}',
                'orderkeep_broker_messages{what="confirmed"}',
                "orderkeep_flow_differences 0.0",
            ],
        ),
        ("door", ["orderkeep_envelopes_total"]),
    ],
)
def test_each_role_tells_its_part_of_a_messages_way(crew: Crew, role: str, told: list[str]) -> None:
    if not crew.rows("SELECT n FROM orders"):
        shop = Shop(crew)
        shop.wanted = 1
        shop.send_all()
    [hand] = [one for one in crew.hands if role in one.roles]

    until(lambda: all(line in ask(hand).text for line in told), f"{role} does not tell it")

    assert {ask(hand).headers["content-type"].partition(";")[0] for _ in range(6)} == {"text/plain"}
    assert ask(hand, "/readyz").status_code == 404


def test_every_number_that_an_alert_asks_for_is_told_by_some_process(crew: Crew) -> None:
    """A rule on a name that nobody tells never fires, and nobody hears of it."""
    [watch] = [one for one in crew.hands if "watch" in one.roles]
    until(lambda: "orderkeep_flow_lost" in ask(watch).text, "nothing was counted")
    office = httpx.get(f"{crew.office}/metrics", trust_env=False, timeout=60).text
    told = office + "".join(ask(hand).text for hand in crew.hands)

    asked = {name for rule in expressions() for name in re.findall(r"orderkeep_[a-z_]+", rule)}

    assert len(asked) >= 10
    assert asked <= set(re.findall(r"^# TYPE (\w+) ", told, re.MULTILINE))


def test_every_label_that_an_alert_asks_for_has_such_a_value() -> None:
    """Nor does one on a label's value that there never is."""
    asked = {
        found
        for rule in expressions()
        for braced in re.findall(r"\{(.*?)\}", rule)
        for found in re.findall(r'(\w+)="(.*?)"', braced)
    }

    assert asked == {
        ("class", Class.UNCERTAIN),
        ("consumer", NOBODY),
        ("kind", Kind.ORDER),
        ("what", Passed.RETURNED),
    }


def expressions() -> list[str]:
    """What every rule asks for."""
    return [
        rule["expr"]
        for path in RULES.glob("*.rules.yml")
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]
