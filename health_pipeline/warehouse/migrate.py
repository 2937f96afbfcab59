"""Bringing the warehouse schema to this program's version: tables by Alembic, then views and grants when one changed."""

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
from health_pipeline.tables.catalogue import SCHEMA, TABLES, VIEWS
from health_pipeline.tables.declare import View
from health_pipeline.warehouse import roles
from health_pipeline.warehouse.connection import sql_connection

_VERSION_TABLE = f"{SCHEMA}.alembic_version"
# Whoever writes holds its tables' locks, or that of the months while it makes one: see writer.py and months.py.
_WAIT_FOR_WRITERS = sa.text(
    "SELECT pg_advisory_xact_lock(hashtext(:schema), hashtext(name)) FROM unnest(CAST(:names AS text[])) AS name"
)


def alembic_config(connection: sa.Connection | None = None) -> Config:
    """Alembic's configuration, to run on the connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(str(resources.files(__package__))) / "migrations"))
    config.attributes["connection"] = connection
    return config


def migrate(url: str) -> None:
    """Create or upgrade the schema, and give the roles what they may see. One at a time; does nothing where all is done.

    Raises WarehouseError if the schema is newer than this program, or if the login may not do it.
    """
    with sql_connection(url) as connection:
        try:
            if _is_current(connection):
                return
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('health'), hashtext('migrate'))"))
            if not _is_current(connection):
                _upgrade(connection)
        except CommandError as error:
            raise WarehouseError(f"the warehouse can't be migrated: {error}; is it newer than this program?") from error
        except sa.exc.DBAPIError as error:
            raise WarehouseError(f"the warehouse can't be migrated: {' '.join(str(error.orig).split())}") from error


def _upgrade(connection: sa.Connection) -> None:
    connection.execute(_WAIT_FOR_WRITERS, {"schema": SCHEMA, "names": [*sorted(TABLES), "months"]})
    # Nothing of the same name in another schema gets into a view or a row policy.
    connection.execute(sa.text("SET LOCAL search_path = pg_catalog, pg_temp"))
    roles.become_owner(connection)
    # The views may stand on columns that a migration changes, so they go first and come back last.
    _drop_views(connection)
    command.upgrade(alembic_config(connection), "head")
    _create_views(connection)
    # A view that is new has lost its grants, and a migration may have made a table anew.
    roles.apply_grants(connection)


def _is_current(connection: sa.Connection) -> bool:
    # First, as others can't even look into the schema.
    if not roles.is_owned(connection):
        return False
    if connection.scalar(sa.text("SELECT to_regclass(:name)"), {"name": _VERSION_TABLE}) is None:
        return False
    version = connection.scalar(sa.text(f"SELECT version_num FROM {_VERSION_TABLE}"))
    if version != ScriptDirectory.from_config(alembic_config()).get_current_head():
        return False
    applied = connection.execute(sa.text(f"SELECT view_name, definition_hash FROM {SCHEMA}.view_definitions")).tuples()
    if dict(applied.all()) != {view.name: _definition_hash(view) for view in VIEWS.values()}:
        return False
    return roles.are_granted(connection)


def view_sql(view: View) -> str:
    """The select that defines the view."""
    return resources.files(__package__).joinpath("views", f"{view.name}.sql").read_text(encoding="utf-8")


def _definition(view: View) -> list[str]:
    """The statements that create it. It reads with its reader's rights, so grants and row policies hold through it."""
    name = f"{SCHEMA}.{view.name}"
    comments = [(f"VIEW {name}", view.grain)]
    comments += [(f"COLUMN {name}.{column}", text) for column, text in view.columns]
    return [
        f"CREATE VIEW {name} WITH (security_invoker = true) AS\n{view_sql(view)}",
        *(f"COMMENT ON {target} IS '{text.replace(chr(39), chr(39) * 2)}'" for target, text in comments),
    ]


def _definition_hash(view: View) -> str:
    return hashlib.sha256(repr(_definition(view)).encode()).hexdigest()[:32]


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
        for statement in _definition(view):
            connection.exec_driver_sql(statement.replace("%", "%%"))
        connection.execute(
            sa.text(f"INSERT INTO {SCHEMA}.view_definitions VALUES (:name, :hash, :at)"),
            {"name": view.name, "hash": _definition_hash(view), "at": datetime.now(UTC)},
        )
