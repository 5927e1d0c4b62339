"""Alembic's entry: migrations run on the connection that `core.labels.database` hands over."""

from alembic import context

from core.labels.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
