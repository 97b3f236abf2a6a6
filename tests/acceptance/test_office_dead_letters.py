"""Who may look at dead letters and send them again, asked of a real office."""

from pathlib import Path

import pytest

from orderkeep.access.rights import RIGHTS, Role
from orderkeep.testing.office import running_office

GROUP = "0" * 16
MAY = frozenset({Role.SUPPORT, Role.ADMIN})


@pytest.mark.parametrize("right", ["dead_letters.view", "dead_letters.replay"])
def test_support_and_admin_alone_have_to_do_with_dead_letters(right: str) -> None:
    assert {role for role in Role if right in RIGHTS[role]} == MAY


async def test_others_are_refused_at_every_address(tmp_path: Path) -> None:
    reason = {"fingerprint": GROUP, "cutoff": 1, "reason": "mended"}
    async with running_office(tmp_path) as office:
        for role in Role:
            desk = await office.desk(role)
            answers = [
                await desk.send("GET", "/dead-letters"),
                await desk.send("GET", f"/dead-letters/groups/{GROUP}"),
                await desk.send("POST", "/dead-letters/dry-run", {"fingerprint": GROUP}),
                await desk.send("POST", "/dead-letters/check", {"row": 1, "body": "{}"}),
                await desk.send("POST", "/dead-letters/replays", reason),
                await desk.send("GET", "/dead-letters/replays/none"),
                await desk.send("POST", "/dead-letters/replays/none/approve", {}),
                await desk.send("POST", "/dead-letters/park", reason),
            ]
            statuses = [one.status_code for one in answers]
            assert statuses == ([200, *[404] * 7] if role in MAY else [403] * 8), role
