"""Alembic's entry: runs the migrations on the connection that migrate.py hands over."""

from alembic import context

from health_pipeline.tables.catalogue import SCHEMA
from health_pipeline.tables.sql import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata(),
    version_table_schema=SCHEMA,
    include_schemas=True,
    include_name=lambda name, kind, _: name == SCHEMA if kind == "schema" else True,
)
context.run_migrations()
