"""Connections to the warehouse: Arrow (ADBC) for bulk work, SQLAlchemy for everything else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa
from adbc_driver_postgresql import dbapi

from health_pipeline.errors import WarehouseError
from health_pipeline.postgres_urls import connection_uri, libpq_message

_WAREHOUSE = ("HEALTH_WAREHOUSE_URL", "the warehouse")


@contextmanager
def sql_connection(url: str, setting: str = _WAREHOUSE[0], what: str = _WAREHOUSE[1]) -> Iterator[sa.Connection]:
    """A connection in a transaction that commits at the end. Raises WarehouseError if the server can't be reached.

    setting, what: the setting that gave the URL and what it is of, for the message.
    """
    with _connected(url, setting, what) as connection, connection.begin():
        yield connection


@contextmanager
def committing_connection(url: str) -> Iterator[sa.Connection]:
    """A connection to the warehouse that commits every statement at once, and for good: a reservation that a crash of the
    database could lose would let a mail go out twice. Raises WarehouseError if the server can't be reached."""
    with _connected(url, *_WAREHOUSE, isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("SET synchronous_commit = on"))
        yield connection


def _connected(url: str, setting: str, what: str, **options: Any) -> sa.Connection:
    # Without a pool: commands are short, and nothing is left open on the server.
    engine = sa.create_engine(connection_uri(setting, url), poolclass=sa.NullPool, **options)
    try:
        return engine.connect()
    except sa.exc.OperationalError as error:
        reason = " ".join(str(error.orig).split())
        raise WarehouseError(f"{what} can't be reached ({setting}): {reason}") from error


@contextmanager
def arrow_connection(url: str) -> Iterator[dbapi.Connection]:
    """A connection in a transaction that commits at the end and rolls back on any error."""
    try:
        connection = dbapi.connect(connection_uri(_WAREHOUSE[0], url))
    except dbapi.Error as error:
        raise WarehouseError(
            f"the warehouse can't be reached (HEALTH_WAREHOUSE_URL): {libpq_message(error)}"
        ) from error
    try:
        yield connection
        connection.commit()
    except BaseException:
        # Where the connection is lost, there is nothing to roll back, and the error is the one that tells so.
        with suppress(dbapi.Error):
            connection.rollback()
        raise
    finally:
        connection.close()
