"""What alembic runs: every pending revision on the connection it is handed, in that connection's transaction.

The version table lies in schema billing. Whoever hands over the connection (storage/migrate.py) holds the lock and
commits. To write a new revision: change schemas/tables.py, then add versions/NNNN_what_changes.py, numbers ascending,
columns spelled out; a test compares the result with the registry.
"""

from alembic import context

from billing_pipeline.schemas.sql import SCHEMA, metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table_schema=SCHEMA,
    include_schemas=True,
    on_version_apply=context.config.attributes.get("on_version_apply"),
    transaction_per_migration=False,
)
context.run_migrations()
