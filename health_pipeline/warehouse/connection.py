"""Connections to the warehouse: Arrow (ADBC) for bulk work, SQLAlchemy for everything else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
    # Without a pool: commands are short, and nothing is left open on the server.
    engine = sa.create_engine(connection_uri(setting, url), poolclass=sa.NullPool)
    try:
        connection = engine.connect()
    except sa.exc.OperationalError as error:
        reason = " ".join(str(error.orig).split())
        raise WarehouseError(f"{what} can't be reached ({setting}): {reason}") from error
    with connection, connection.begin():
        yield connection


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
        connection.rollback()
        raise
    finally:
        connection.close()
