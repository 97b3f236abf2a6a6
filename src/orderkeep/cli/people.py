"""``orderkeep people``: who signs in at the office."""

import sys
from getpass import getpass
from typing import Annotated

import typer

from orderkeep.access.people import Person
from orderkeep.access.ports import PersonChange
from orderkeep.access.registry import Registry
from orderkeep.cli.groups import group
from orderkeep.cli.registry import ACTOR, to_people, with_registry
from orderkeep.kernel.errors import Fault, Invalid
from orderkeep.kernel.ids import Ids

app = group("People who sign in at the office.")
_GENERATED = 16


@app.command()
def add(
    login: Annotated[str, typer.Option(help="Small Latin letters, digits, dot, dash.")],
    role: Annotated[str, typer.Option(help="seller, operator, head, support or admin.")],
    name: Annotated[str, typer.Option(help="As colleagues know them.")],
    locale: Annotated[str, typer.Option(help="ru or en.")] = "ru",
    ask: Annotated[bool, typer.Option("--ask", help="Ask for the password.")] = False,
) -> None:
    """Add a person. Without --ask a password is made and printed alone on the last line, once."""
    password = _asked() if ask else Ids().token(_GENERATED)

    async def keep(registry: Registry) -> Person:
        return await registry.add_person(
            ACTOR, login=login, name=name, role=role, locale=locale, password=password
        )

    person = with_registry(keep)
    to_people(f"{person.login} can sign in as {person.role}.")
    if not ask:
        print(password)


@app.command(name="list")
def list_people() -> None:
    """Print everybody: login, role, name, and whether they may sign in."""
    for person in with_registry(lambda registry: registry.people()):
        state = "disabled" if person.disabled_at else "active"
        print("\t".join([person.login, str(person.role), person.name, state]))


@app.command()
def disable(login: Annotated[str, typer.Argument(help="Whose access ends.")]) -> None:
    """Let a person sign in no more, and end their sessions now."""
    _change(login, PersonChange(disabled=True))
    to_people(f"{login} cannot sign in any more.")


@app.command()
def password(
    login: Annotated[str, typer.Argument(help="Whose password.")],
    ask: Annotated[bool, typer.Option("--ask", help="Ask for it.")] = False,
) -> None:
    """Give a person a new password, and end their sessions. Printed once unless asked for."""
    chosen = _asked() if ask else Ids().token(_GENERATED)
    _change(login, PersonChange(), chosen)
    if not ask:
        print(chosen)


def _change(login: str, change: PersonChange, password: str | None = None) -> None:
    async def keep(registry: Registry) -> Person:
        known = {person.login: person for person in await registry.people()}
        if login not in known:
            raise Invalid([Fault("/login", "unknown", "nobody signs in with this")])
        return await registry.change_person(ACTOR, known[login].id, change, password)

    with_registry(keep)


def _asked() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    return getpass("Password: ")
