"""Connections to the warehouse: Arrow (ADBC) for bulk work, SQLAlchemy for everything else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import sqlalchemy as sa
from adbc_driver_postgresql import dbapi

from health_pipeline.errors import SettingError, WarehouseError
from health_pipeline.sources.postgres import connection_uri, libpq_message

UNREACHABLE = "the warehouse can't be reached (HEALTH_WAREHOUSE_URL): "


def checked_url(name: str, url: str) -> str:
    """The URL, if it is one of a PostgreSQL database. Raises SettingError without repeating it: it may hold a password."""
    if urlsplit(url).scheme not in ("postgresql", "postgres"):
        raise SettingError(f"{name} must be postgresql://USER@HOST/DATABASE, but starts with {urlsplit(url).scheme!r}")
    return connection_uri(url)


def sql_engine(url: str) -> sa.Engine:
    """An engine without a pool: commands are short, and nothing is left open on the server."""
    return sa.create_engine(checked_url("HEALTH_WAREHOUSE_URL", url), poolclass=sa.NullPool)


@contextmanager
def sql_connection(url: str) -> Iterator[sa.Connection]:
    """A connection in a transaction that commits at the end. Raises WarehouseError if the server can't be reached."""
    engine = sql_engine(url)
    try:
        connection = engine.connect()
    except sa.exc.OperationalError as error:
        raise WarehouseError(UNREACHABLE + " ".join(str(error.orig).split())) from error
    with connection, connection.begin():
        yield connection


@contextmanager
def arrow_connection(url: str) -> Iterator[dbapi.Connection]:
    """A connection in a transaction that commits at the end and rolls back on any error."""
    try:
        connection = dbapi.connect(checked_url("HEALTH_WAREHOUSE_URL", url))
    except dbapi.Error as error:
        raise WarehouseError(UNREACHABLE + libpq_message(error)) from error
    try:
        yield connection
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    finally:
        connection.close()
