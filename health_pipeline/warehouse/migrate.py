"""Bringing the warehouse schema to this program's version: tables by Alembic, views recreated when one changed."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from health_pipeline.errors import WarehouseError
from health_pipeline.tables.catalogue import SCHEMA, VIEWS
from health_pipeline.tables.declare import View
from health_pipeline.warehouse.connection import sql_connection

_VERSION_TABLE = f"{SCHEMA}.alembic_version"


def alembic_config(connection: sa.Connection | None = None) -> Config:
    """Alembic's configuration, to run on the connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(str(resources.files(__package__))) / "migrations"))
    config.attributes["connection"] = connection
    return config


def migrate(url: str) -> None:
    """Create or upgrade the schema. One at a time; does nothing where it is at this version already.

    Raises WarehouseError if the schema is newer than this program.
    """
    with sql_connection(url) as connection:
        if _is_current(connection):
            return
        try:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('health'), hashtext('migrate'))"))
            if not _is_current(connection):
                _upgrade(connection)
        except CommandError as error:
            raise WarehouseError(f"the warehouse can't be migrated: {error}; is it newer than this program?") from error
        except sa.exc.DBAPIError as error:
            raise WarehouseError(f"the warehouse can't be migrated: {' '.join(str(error.orig).split())}") from error


def _upgrade(connection: sa.Connection) -> None:
    if not connection.scalar(sa.text("SELECT to_regnamespace(:name) IS NOT NULL"), {"name": SCHEMA}):
        connection.execute(sa.text(f"CREATE SCHEMA {SCHEMA}"))
    # The views may stand on columns that a migration changes, so they go first and come back last.
    _drop_views(connection)
    command.upgrade(alembic_config(connection), "head")
    _create_views(connection)


def _is_current(connection: sa.Connection) -> bool:
    if connection.scalar(sa.text("SELECT to_regclass(:name)"), {"name": _VERSION_TABLE}) is None:
        return False
    version = connection.scalar(sa.text(f"SELECT version_num FROM {_VERSION_TABLE}"))
    if version != ScriptDirectory.from_config(alembic_config()).get_current_head():
        return False
    applied = connection.execute(sa.text(f"SELECT view_name, definition_hash FROM {SCHEMA}.view_definitions")).tuples()
    return dict(applied.all()) == {view.name: _definition_hash(view) for view in VIEWS.values()}


def view_sql(view: View) -> str:
    """The select that defines the view."""
    return resources.files(__package__).joinpath("views", f"{view.name}.sql").read_text(encoding="utf-8")


def _definition_hash(view: View) -> str:
    return hashlib.sha256(repr((view, view_sql(view))).encode()).hexdigest()[:32]


def _drop_views(connection: sa.Connection) -> None:
    if connection.scalar(sa.text("SELECT to_regclass(:name)"), {"name": f"{SCHEMA}.view_definitions"}) is None:
        return
    applied = connection.scalars(sa.text(f"SELECT view_name FROM {SCHEMA}.view_definitions")).all()
    if applied:
        # Together, so that views of ours that stand on each other don't stop it; somebody else's view on them does.
        connection.execute(sa.text("DROP VIEW " + ", ".join(f"{SCHEMA}.{name}" for name in applied)))
    connection.execute(sa.text(f"DELETE FROM {SCHEMA}.view_definitions"))


def _create_views(connection: sa.Connection) -> None:
    for view in VIEWS.values():
        connection.exec_driver_sql(f"CREATE VIEW {SCHEMA}.{view.name} AS\n{view_sql(view)}".replace("%", "%%"))
        comments = [(f"VIEW {SCHEMA}.{view.name}", view.grain)]
        comments += [(f"COLUMN {SCHEMA}.{view.name}.{name}", text) for name, text in view.columns]
        for target, text in comments:
            connection.exec_driver_sql(
                f"COMMENT ON {target} IS '{text.replace(chr(39), chr(39) * 2)}'".replace("%", "%%")
            )
        connection.execute(
            sa.text(f"INSERT INTO {SCHEMA}.view_definitions VALUES (:name, :hash, :at)"),
            {"name": view.name, "hash": _definition_hash(view), "at": datetime.now(UTC)},
        )
