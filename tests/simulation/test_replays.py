"""The promise, where messages die and people send them again, edit them, and send those again."""

import subprocess
import sys

import msgspec

from orderkeep.testing.replaying_world import Seen

HISTORIES = 120
"""Some seconds; ``python -m orderkeep.testing.replaying_world 0 5000`` goes further."""


def test_no_history_of_dead_letters_and_replays_breaks_the_promise() -> None:
    # In a process of its own: replays bring failpoints, which would change other histories' seeds.
    command = [sys.executable, "-m", "orderkeep.testing.replaying_world", "0", str(HISTORIES)]
    told = subprocess.run(command, capture_output=True, check=True, timeout=600)
    seen = msgspec.json.decode(told.stdout, type=Seen)

    assert seen.failures == {}
    assert seen.histories == HISTORIES
    for what in ("died", "begun", "edited", "made whole", "resumed", "parked"):
        assert seen.did.get(what, 0) >= 5, f"too few were {what}: {seen.did}"
    assert seen.did.get("again", 0) >= 2, f"too few were sent again before: {seen.did}"
    for name in ("replay.before_batch", "replay.after_batch"):
        assert seen.crashed_at[name] >= 3, f"too few crashed at {name}"
