"""What alembic runs: every pending revision on the connection it is handed, in that connection's transaction.

Two histories share this file: schema billing in versions/, schema rebilling in rebilling_versions/, each with its version
table in its own schema, so that one can be dropped and made anew without the other. Whoever hands over the connection
(storage/migrate.py) holds the lock and commits. To write a new revision: change the registry in schemas/, then add
NNNN_what_changes.py, numbers ascending, columns spelled out; a test compares the result with the registry.
"""

from alembic import context

from billing_pipeline.schemas.sql import SCHEMA, metadata

given = context.config.attributes
context.configure(
    connection=given["connection"],
    target_metadata=given.get("metadata", metadata),
    version_table_schema=given.get("schema", SCHEMA),
    include_schemas=True,
    on_version_apply=given.get("on_version_apply"),
    transaction_per_migration=False,
)
context.run_migrations()
