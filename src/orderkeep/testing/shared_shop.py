"""A shop that hands its orders over through a database that it shares."""

import sqlite3
from contextlib import closing
from pathlib import Path

_TOML = """
[sources.shop]
partner = "{partner}"

[sources.shop.database]
url = "{url}"
query = "SELECT {columns} FROM sold"
cursor = "{cursor}"
overlap = {overlap}
every = "1s"

[sources.shop.messages.row]
client_ref = "id"
items = "[{sku: 'studs-ag', quantity: `1`}]"
customer = "{name: buyer}"
"""
_PLAIN = {"columns": "id, buyer", "cursor": "id", "overlap": "1000", "partner": "Web shop"}


def opens(folder: Path) -> None:
    """Make its database, and the settings of whoever takes over from it, in a folder."""
    path = folder / "shop.db"
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE IF NOT EXISTS sold (id INTEGER PRIMARY KEY, buyer TEXT)")
    hands_over(folder, f"sqlite:///{path}")


def hands_over(folder: Path, url: str, more: str = "", **other: str) -> None:
    """Write the settings of whoever takes over from its database; ``more`` is of its rows."""
    toml = _TOML
    for name, value in {**_PLAIN, **other, "url": url}.items():  # Other braces are the mapping's.
        toml = toml.replace(f"{{{name}}}", value)
    (folder / "orderkeep.toml").write_text(toml + more, encoding="utf-8")


def sells(folder: Path, buyer: str = "Anna") -> None:
    """One more piece is sold."""
    with closing(sqlite3.connect(folder / "shop.db", timeout=30)) as raw, raw:
        raw.execute("INSERT INTO sold (buyer) VALUES (?)", (buyer,))
