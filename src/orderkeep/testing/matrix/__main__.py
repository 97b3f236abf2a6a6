"""``python -m orderkeep.testing.matrix [CELL…] [--list]``; ``--help`` names the rest."""

import argparse
import os
import sys
import time
from pathlib import Path

from orderkeep.testing.matrix.cell import Row
from orderkeep.testing.matrix.every import chosen
from orderkeep.testing.matrix.side_by_side import play_all
from orderkeep.testing.matrix.summary import markdown
from orderkeep.testing.matrix.table import add, in_order, keep, played, text

SEED = 20261123


def main() -> int:
    """Play what is asked for; 1 when a promise was broken, or nobody knows."""
    asked = _asked()
    cells = chosen(asked.cells)
    if asked.list or not cells:
        say("\n".join(cell.name for cell in cells) or "no cell is called so")
        return 0 if cells else 2
    begun = time.monotonic()
    done = played(asked.results, cells) if asked.results else []
    names = {row.name for row in done}

    def tell(row: Row) -> None:
        """As it comes, so that who ends a run early has what was played."""
        done.append(row)
        keep(done, asked.out)
        if asked.results:
            add(row, asked.results)
        say(f"{time.monotonic() - begun:6.0f} s  {row.name}: {_told(row)}")

    ahead = [cell for cell in cells if cell.name not in names]
    play_all(ahead, asked.seed, asked.workers, asked.out, tell)
    rows = in_order(done, cells)
    keep(rows, asked.out)
    (asked.out / "faults.md").write_text(markdown(rows), encoding="utf-8")
    say(f"\nseed {asked.seed}, {time.monotonic() - begun:.0f} s\n\n{text(rows)}")
    return int(any(row.bad for row in rows))


def _told(row: Row) -> str:
    if row.bad:
        return f"BROKEN {row.why} {row.verdict}"
    return f"ran, {row.verdict.orders} orders" if row.ran else f"could not: {row.why}"


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m orderkeep.testing.matrix", description=__doc__)
    parser.add_argument("cells", nargs="*", help="patterns of cells, such as '*/bridge.*/kill*'")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--results", type=Path, help="a line is added for each cell; what ran well there is done"
    )
    parser.add_argument("--list", action="store_true", help="name the cells")
    parser.add_argument("--out", type=Path, default=Path("var/faults"), help="for the table")
    return parser.parse_args()


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
