"""Alembic's entry: it is handed an open connection, because a database is always migrated from within the program."""

from alembic import context

from bot.store.tables import metadata

connection = context.config.attributes["connection"]
# SQLite cannot change a column in place; batch mode copies the table.
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
