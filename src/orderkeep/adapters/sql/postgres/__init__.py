"""The store on PostgreSQL: many processes, a transaction for each unit of work, shared commits.

Only here, and in ``hot_postgres``, is the driver imported: whoever runs on SQLite needs none of it.
"""
