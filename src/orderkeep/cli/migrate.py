"""``orderkeep migrate``: bring the database to the schema of this program."""

import asyncio

from orderkeep.cli.settings import settings_or_exit


def migrate() -> None:
    """Run the migrations that are missing, all or none, and print the version reached."""
    settings = settings_or_exit()
    if settings.database_url.startswith("sqlite:"):
        from orderkeep.adapters.sql.migrate import migrate as run_migrations  # Loads Alembic.

        print(run_migrations(settings.database_url))
        return
    from orderkeep.adapters.sql.postgres.migrate import migrate as run_shared

    print(asyncio.run(run_shared(settings.database_url)))
