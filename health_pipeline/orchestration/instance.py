"""Dagster's storage: PostgreSQL at HEALTH_DAGSTER_URL, or the embedded server's database where that is not set."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Self

import dagster as dg
import psycopg2
import sqlalchemy as sa
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage

from health_pipeline.connections import resolved_urls
from health_pipeline.errors import SettingError
from health_pipeline.postgres_urls import connection_uri
from health_pipeline.settings import Settings, read_settings

# On a run that a command executes itself: the process that does.
PROCESS_TAG = "health/process"


class HealthStorage(DagsterPostgresStorage):  # type: ignore[misc]
    """Dagster's PostgreSQL storage, which finds its URL in the settings; dagster.yaml names it."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Mapping[str, Any],  # noqa: ARG003 - there is none: the settings say it
    ) -> Self:
        url = connection_uri("HEALTH_DAGSTER_URL", resolved_urls(read_settings()).dagster)
        storage = cls(postgres_url=url, should_autocreate_tables=True, inst_data=inst_data)
        for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
            _keep_a_connection(part)
        return storage


def _keep_a_connection(part: Any) -> None:
    """Let a part of the storage use one connection for many statements, where it would open one for each of hundreds.

    Dagster offers this for its web server. A server that was restarted meanwhile is noticed when the connection is used again,
    and costs a new one.
    """
    part.optimize_for_webserver(statement_timeout=0, pool_recycle=3600, max_overflow=20)
    sa.event.listen(part._engine, "checkout", _check_alive)


def _check_alive(connection: Any, *_: object) -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.Error as error:
        # The pool opens another one then.
        raise sa.exc.DisconnectionError from error


def dagster_home(settings: Settings) -> Path:
    """The folder DAGSTER_HOME of this deployment: the user's own, or one in HEALTH_HOME with our dagster.yaml in it."""
    home = settings.home / "dagster"
    given = os.environ.get("DAGSTER_HOME")
    if given and Path(given).absolute() != home:
        if not (Path(given) / "dagster.yaml").is_file():
            raise SettingError(
                f"DAGSTER_HOME is {given}, which has no dagster.yaml; put ours there, or unset DAGSTER_HOME"
            )
        return Path(given)
    home.mkdir(parents=True, exist_ok=True)
    with resources.as_file(resources.files(__package__) / "dagster.yaml") as shipped:
        shutil.copyfile(shipped, home / "dagster.yaml")
    return home


def workspace_file() -> Path:
    """The file that tells Dagster's services which code to load."""
    return Path(str(resources.files(__package__) / "workspace.yaml"))


@contextlib.contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Dagster's instance for a command of this process."""
    os.environ["DAGSTER_HOME"] = str(dagster_home(settings))
    with dg.DagsterInstance.get() as instance:
        yield instance
