"""How Alembic runs our migrations: on the connection, in the transaction, that we give it."""

from alembic import context

from orderkeep.adapters.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # the caller drives one transaction around all of them
)
context.run_migrations()
