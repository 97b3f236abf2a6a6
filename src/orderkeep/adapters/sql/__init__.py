"""The store on SQL databases: one text for SQLite and PostgreSQL, hot statements per dialect."""
