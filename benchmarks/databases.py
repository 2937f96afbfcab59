"""Databases of the benchmark's server: made, copied, dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from psycopg2 import sql


def execute(url: str, statement: str | sql.Composed, parameters: Any = None) -> list[tuple[Any, ...]]:
    """Run the statement by itself, outside of any transaction; returns its rows, if it gives any."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def url_of(server_url: str, database: str) -> str:
    """The URL of another database of the same server."""
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{database}"))


def exists(server_url: str, database: str) -> bool:
    return bool(execute(server_url, "SELECT 1 FROM pg_database WHERE datname = %s", [database]))


def recreate(server_url: str, database: str, template: str = "template1") -> str:
    """A database of this name, empty or a copy of another, in place of one that is there; returns its URL."""
    drop(server_url, database)
    names = map(sql.Identifier, (database, template))
    execute(server_url, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
    return url_of(server_url, database)


def rename(server_url: str, database: str, name: str) -> None:
    names = map(sql.Identifier, (database, name))
    execute(server_url, sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*names))


def drop(server_url: str, database: str) -> None:
    execute(server_url, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))


def postmaster(server_url: str) -> int:
    """The process that all of the server's processes are below."""
    ((folder,),) = execute(server_url, "SHOW data_directory")
    return int((Path(folder) / "postmaster.pid").read_text().split("\n", 1)[0])
