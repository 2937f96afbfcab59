"""Plain access to the servers that are harmed, apart from the pipeline's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2

# So that a look at who is connected leaves out who looks.
OURS = "reliability"


@contextmanager
def connected(url: str) -> Iterator[Any]:
    """A cursor of a connection that commits every statement by itself."""
    connection = psycopg2.connect(url, application_name=OURS)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def execute(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run the statements one by one; returns the rows of the last, if it gives any."""
    with connected(url) as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def sibling(url: str, database: str) -> str:
    """The URL of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def name_of(url: str) -> str:
    """The database that a URL names."""
    return urlsplit(url).path[1:]


def recreate(url: str, template: str, tablespace: str = "pg_default") -> None:
    """Put a copy of the template in place of the URL's database, whoever is connected to either."""
    end_connections(sibling(url, template))
    execute(
        sibling(url, "postgres"),
        f"DROP DATABASE IF EXISTS {name_of(url)} WITH (FORCE)",
        f"CREATE DATABASE {name_of(url)} TEMPLATE {template} TABLESPACE {tablespace}",
    )


def end_connections(url: str, condition: str = "true") -> int:
    """Terminate the connections to the URL's database for which the condition on pg_stat_activity holds; returns how many."""
    found = execute(
        sibling(url, "postgres"),
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name_of(url)}'"
        f" AND backend_type = 'client backend' AND application_name <> '{OURS}' AND {condition}",
    )
    return len(found)
