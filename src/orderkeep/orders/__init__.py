"""The order: its lifecycle as pure decisions, its events, and the master that keeps it.

Events are the only truth about an order; the row that the board lists is a view of them, written
in the same commit.
"""
