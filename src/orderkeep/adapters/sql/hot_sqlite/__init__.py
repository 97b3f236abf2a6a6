"""The statements on every order's path, in SQLite's own SQL on the bare driver.

A repository here has a twin of the same name for every other database, and one contract suite.
"""
