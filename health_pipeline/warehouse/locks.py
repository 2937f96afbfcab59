"""Who writes a table: one transaction at a time, while everybody may read it."""

from __future__ import annotations

from collections.abc import Sequence

from adbc_driver_postgresql import dbapi

from health_pipeline.tables.catalogue import SCHEMA


def lock_tables(connection: dbapi.Connection, names: Sequence[str]) -> None:
    """Advisory locks until the end of the transaction, always in one order so that runs can't block each other for good."""
    with connection.cursor() as cursor:
        for name in sorted(names):
            cursor.execute(lock_statement(name))
            cursor.fetchall()


def lock_statement(name: str) -> str:
    """The statement that takes a table's advisory lock until the end of the transaction."""
    return f"SELECT pg_advisory_xact_lock(hashtext('{SCHEMA}'), hashtext('{name}'))"
