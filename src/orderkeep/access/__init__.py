"""Who may do what: people and their rights, sign-in and sessions, partners and their keys.

A password is kept as an argon2 hash, a session token and an API key as SHA-256 only. What people
do that is not an order's event (sign-ins, keys, rights) is written to the audit in the same
transaction.
"""
