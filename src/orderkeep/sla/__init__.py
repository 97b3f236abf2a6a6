"""Time's side of an order: what falls due is found by level, every minute, and done once."""
