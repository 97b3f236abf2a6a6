"""The whole product at one node of three, which loses the other two: it costs delay only."""

import re
from pathlib import Path

from orderkeep.testing.broker_road import ask
from orderkeep.testing.cluster import cluster
from orderkeep.testing.matrix.wire import Line
from orderkeep.testing.product import Keys, Product
from orderkeep.testing.shop import Shop, check, running, until

UNCONFIRMED = re.compile(
    r'^orderkeep_envelopes_total\{.*what="unconfirmed".*\} (\d+)', re.MULTILINE
)


def unconfirmed(product: Product) -> int:
    """Publishings whose confirm never came."""
    return sum(int(number) for number in UNCONFIRMED.findall(ask(product, "/metrics").text))


def test_what_a_node_without_the_majority_never_confirmed_is_repeated_and_made_once(
    template: tuple[Path, Keys], tmp_path: Path
) -> None:
    """Its connections stay: it neither knows at first that it is alone, nor stops when it does."""
    with cluster("ignore") as three:
        ours, other, _ = three.nodes
        with running(tmp_path, template, transport_url=ours.url) as (product, mes):
            shop = Shop(product)
            assert product.start()
            until(shop.at_rest, "not every order came to rest")

            three.isolate(ours, Line.SILENT)
            shop.wanted = 12
            shop.send_all()
            until(lambda: unconfirmed(product) > 0, "confirmed without a majority")
            until(lambda: three.seen_by(ours) == 0, "the node does not notice")
            # Each of them has a clock of its own for how long the others may be silent.
            until(lambda: three.seen_by(other) == 1, "the others do not miss it")
            shop.wanted = 18
            shop.send_all()
            assert len(shop.receipts) == 18
            assert len(mes.effects()) == 6
            three.isolate(ours, Line.OPEN)

            until(shop.at_rest, "not every order came to rest")
            check(product, shop, mes.effects())
