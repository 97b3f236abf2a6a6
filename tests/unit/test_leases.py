"""What is held for a while, and what a clock that was set back looks like."""

from orderkeep.adapters.sql.instants import FARTHEST
from orderkeep.delivery import inbox, relay
from orderkeep.quoting import desk, holding


def test_no_lease_and_no_pause_is_taken_for_one_from_before_the_clock_was_set_back() -> None:
    """A longer one would be over at once: two would hold the same row."""
    held = (relay.LEASE, relay.PAUSE, inbox.LONGEST_PAUSE, holding.LEASE, desk.PAUSE)

    assert max(held) < FARTHEST
