"""Runs the migrations on the connection that ``agent_server.store.migrate`` hands over.

That connection is in one transaction, which its owner commits: all steps or none.
"""

from agent_server.store import edge_tables, tables
from agent_server.store.columns import Table
from alembic import context

# Both modules add their tables to this metadata.
TABLES = (tables, edge_tables)

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Table.metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    transactional_ddl=True,
)
context.run_migrations()
