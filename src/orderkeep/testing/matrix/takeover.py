"""A shop that hands its orders over through a database, for the failpoints of taking over."""

import sqlite3

from orderkeep.testing import shared_shop
from orderkeep.testing.crew import Crew
from orderkeep.testing.matrix.acts import run_sql
from orderkeep.testing.matrix.clients import Clients
from orderkeep.testing.matrix.works import Works
from orderkeep.testing.product import Gone

_LIVE = (
    "INSERT INTO partners (id, name, created_at) VALUES ('shop', 'Web shop', NOW)",
    """INSERT INTO sources (name, mode, since, by, because, takes, cursor)
    VALUES ('shop', 'live', NOW, 'test', 'test', 'rows', '-')""",
)


def a_shop_shares_its_database(works: Works, _clients: Clients) -> None:
    """A source is live, and the shop has sold nothing yet; its orders wait for a seller."""
    shared_shop.opens(works.product.folder)
    for said in _LIVE:
        now = "now()" if isinstance(works.product, Crew) else "0"
        run_sql(works.product, said.replace("NOW", now))


def the_shop_goes_back(works: Works, _clients: Clients) -> None:
    """A person takes its orders back to the old road.

    Raises:
        Gone: the product has stopped with the database in its hands.
    """
    try:
        run_sql(works.product, "UPDATE sources SET mode = 'back', settled_at = NULL")
    except sqlite3.OperationalError as locked:
        raise Gone from locked


def the_shop_sells(works: Works, _clients: Clients) -> None:
    """One more order."""
    shared_shop.sells(works.product.folder)
