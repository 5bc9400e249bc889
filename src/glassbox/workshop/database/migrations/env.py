"""What Alembic runs: the migrations, on the connection that it is given, within that connection's transaction."""

from alembic import context

from glassbox.workshop.database.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,  # SQLite changes a column by making the table anew
)
context.run_migrations()
