"""The words every module shares: instants, ids, money, errors, units of work, failpoints.

Standard library only, so that a decision can be read and tested without anything installed.
"""
