"""The statements on every order's path that PostgreSQL wants otherwise, on the bare driver.

A class here has the name of its twin in ``hot_sqlite`` and passes the same contract suite; where
the SQL is the same it inherits it. What differs is what several processes at once make different:
row locks, skipping what others hold, and looking again under a lock.
"""
