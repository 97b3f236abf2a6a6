"""The fault matrix is whole: every failpoint in both profiles, each with every action."""

from itertools import product
from pathlib import Path

from orderkeep.kernel.failpoints import FAILPOINTS
from orderkeep.ledger.reconciler import MOST_RESENT
from orderkeep.testing.matrix.acts import SOME
from orderkeep.testing.matrix.cell import EMBEDDED, SCALED_OUT, Cell, Row
from orderkeep.testing.matrix.every import chosen, every_cell
from orderkeep.testing.matrix.failpoints import ACTIONS, COMMANDS, told, way_to
from orderkeep.testing.matrix.table import add, played
from orderkeep.testing.matrix.verdict import Verdict


def test_every_failpoint_is_struck_with_every_action_in_both_profiles() -> None:
    wanted = set(product((EMBEDDED, SCALED_OUT), FAILPOINTS, map(told, ACTIONS)))

    assert wanted <= {(cell.profile, cell.item, cell.fault) for cell in every_cell()}


def test_for_every_failpoint_it_is_written_down_how_it_is_reached() -> None:
    """Whoever adds one says so in ``failpoints.WAYS``; else its cells could not run."""
    assert all(way_to(name) for name in FAILPOINTS if name not in COMMANDS)


def test_a_cell_has_a_name_of_its_own_by_which_it_is_played_again() -> None:
    names = [cell.name for cell in every_cell()]

    assert len(set(names)) == len(names)
    assert [cell.name for cell in chosen([names[0]])] == [names[0]]


def row(cell: Cell, *, ran: bool = True, lost: int = 0, why: str = "") -> Row:
    return Row(
        cell.item, cell.profile, cell.fault, ran, 1, 1.0, "again", Verdict(lost=lost), why=why
    )


def test_a_later_run_plays_what_did_not_run_well_when_it_was_last_played(tmp_path: Path) -> None:
    good, broken, mended, away, new = cells = chosen(["embedded/bridge.*"])[:5]
    results = tmp_path / "results.jsonl"
    for one in (row(good), row(broken), row(mended, lost=1), row(away, ran=False, why="? when")):
        add(one, results)
    for one in (row(broken, lost=2), row(mended)):
        add(one, results)

    done = played(results, cells)

    assert [one.name for one in done] == [good.name, mended.name]
    assert played(tmp_path / "none", [new]) == []


def test_what_the_mes_forgets_is_little_enough_to_be_believed() -> None:
    """Of more, a comparison repairs nothing, and the failpoint of the repair is never reached."""
    assert SOME <= MOST_RESENT
