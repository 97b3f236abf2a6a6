"""``orderkeep grants``: a database user for every role, with the least rights it needs."""

import asyncio
import re
import secrets
from pathlib import Path
from typing import Annotated

import typer

from orderkeep.cli.settings import settings_or_exit
from orderkeep.kernel.errors import Fault, Invalid

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,40}")


def grants(
    prefix: Annotated[
        str, typer.Option(help="What the users are called before the name of their role.")
    ] = "orderkeep_",
    passwords: Annotated[
        Path | None,
        typer.Option(help="A folder with a file for each role, such as `door`: its password."),
    ] = None,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the statements and change nothing.")
    ] = False,
) -> None:
    """Make the users that are missing, and bring all of them to exactly their rights."""
    from orderkeep.adapters.sql.postgres.grants import ROLES, grant, statements, user

    url = settings_or_exit().database_url  # of the tables' owner
    _check(url, prefix)
    if sql:
        database = url.partition("?")[0].rpartition("/")[2]
        print("BEGIN;", *(f"{one};" for one in statements(database, prefix)), "COMMIT;", sep="\n")
        return
    given = _verifiers(passwords)
    asyncio.run(grant(url, prefix, given))
    for role in ROLES:
        print(user(role, prefix), "has its rights" + (" and its password" * (role in given)))


def _check(url: str, prefix: str) -> None:
    if not url.startswith("postgres"):
        sentence = "SQLite knows no users: only who may read the file. Grants are for PostgreSQL."
        raise Invalid([Fault("ORDERKEEP_DATABASE_URL", "wrong", sentence)])
    if not _NAME.fullmatch(prefix):
        sentence = "Small letters, digits and _, at most 41."
        raise Invalid([Fault("--prefix", "wrong", sentence)])


def _verifiers(folder: Path | None) -> dict[str, str]:
    from orderkeep.adapters.sql.postgres.grants import ROLES, verifier

    if folder is None:
        return {}
    if not folder.is_dir():
        raise Invalid([Fault("--passwords", "wrong", f"There is no folder {folder}.")])
    files = {role: folder / role for role in ROLES if (folder / role).is_file()}
    return {
        role: verifier(file.read_text(encoding="utf-8").rstrip("\r\n"), secrets.token_bytes(16))
        for role, file in files.items()
    }
