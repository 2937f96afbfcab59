"""What all tests share: a clean environment, one embedded PostgreSQL per test process, and fresh databases on it."""

from __future__ import annotations

import itertools
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from health_pipeline.embedded import EmbeddedServer
from health_pipeline.warehouse.migrate import migrate
from health_pipeline_tests.support.databases import administer

NewDatabase = Callable[..., str]


# Files of which a test waits for long, or which take long as a whole.
_LONG = ("test_nights", "test_spark", "test_backfill", "test_dagster_run", "test_against_reference", "test_commands")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files begin first, so that none is left to run alone at the end."""
    items.sort(key=lambda item: _LONG.index(item.path.stem) if item.path.stem in _LONG else len(_LONG))


def pytest_configure() -> None:
    """Started in the background by a script, this process ignores SIGINT. Dagster would then let it ignore SIGTERM too, and so
    the helpers that runs in threads start, for whose end it waits a minute."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own settings must not reach a test."""
    for name in list(os.environ):
        if name.startswith("HEALTH_") or name == "DAGSTER_HOME":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def server_home() -> Iterator[Path]:
    """A folder apart from pytest's own: where tests run as root, the server runs as another user, and the next pytest
    that starts closes the folder of all pytests to other users."""
    with tempfile.TemporaryDirectory(prefix="health_pipeline_tests_") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def server(server_home: Path) -> Iterator[EmbeddedServer]:
    """The server of this test process; stopped at its end."""
    server = EmbeddedServer(server_home)
    # Nothing in a test outlives the server, so it need not wait for the disk.
    administer(server.url("postgres"), "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    yield server
    server.stop()


_numbers = itertools.count(1)


@contextmanager
def databases(server: EmbeddedServer) -> Iterator[NewDatabase]:
    """A function that makes a database, empty or as a copy of a template, and returns its URL; all are dropped at the end."""
    made: list[str] = []

    def create(template: str = "template1") -> str:
        name = f"test_{next(_numbers)}"
        # A template must not be in use, and Dagster keeps connections.
        end = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{template}'"
        administer(server.url("postgres"), end, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        made.append(name)
        return server.url(name)

    yield create
    for name in made:
        administer(server.url("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def new_database(server: EmbeddedServer) -> Iterator[NewDatabase]:
    """Makes databases for a test."""
    with databases(server) as create:
        yield create


@pytest.fixture(scope="module")
def new_module_database(server: EmbeddedServer) -> Iterator[NewDatabase]:
    """Makes databases that the tests of a module share."""
    with databases(server) as create:
        yield create


@pytest.fixture(scope="session")
def migrated_template(server: EmbeddedServer) -> str:
    """The name of a database with the migrated, empty schema."""
    administer(server.url("postgres"), "CREATE DATABASE migrated")
    migrate(server.url("migrated"))
    return "migrated"


@pytest.fixture
def warehouse(new_database: NewDatabase, migrated_template: str) -> str:
    """The URL of a migrated, empty warehouse."""
    return new_database(migrated_template)
