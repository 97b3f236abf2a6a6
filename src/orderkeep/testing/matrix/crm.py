"""What the practice CRM was told, by its own journal: all of it, in its sequence, once."""

from contextlib import suppress

from orderkeep.practice.mes_journal import Entry, read_journal
from orderkeep.testing.matrix.clients import Clients
from orderkeep.testing.matrix.works import Works, wait_while_it_goes_on


def misheard(works: Works, clients: Clients) -> list[str]:
    """What it heard twice, in a wrong sequence, or not at all."""
    wanted = set(clients.receipts.values())
    with suppress(TimeoutError):
        wait_while_it_goes_on(
            lambda: set(_told(works)) == wanted, lambda: len(_told(works)), "not yet"
        )
    told = _told(works)
    wrong = [f"the CRM was not told of {no}" for no in sorted(wanted - set(told))]
    for no, entries in told.items():
        versions = [one.version or 0 for one in entries]
        if versions != sorted(set(versions)):
            wrong.append(f"the CRM was told of {no} in the sequence {versions}")
    return wrong


def _told(works: Works) -> dict[str, list[Entry]]:
    """What it took to heart of each order, in its order."""
    found: dict[str, list[Entry]] = {}
    for one in read_journal(works.mes.journal.with_name("crm.jsonl")):
        if one.effect in {"told", "overtaken"}:
            found.setdefault(one.reference or "", []).append(one)
    return found
