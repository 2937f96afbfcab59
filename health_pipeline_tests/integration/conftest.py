"""Small sources of both kinds that speak SQL, and readers of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from health_pipeline.sources.connect import connect
from health_pipeline.sources.mapping import Mapping
from health_pipeline.sources.reader import SourceReader
from health_pipeline_tests.conftest import NewDatabase
from health_pipeline_tests.support.databases import execute
from health_pipeline_tests.support.small_sources import CLOCK, Make, Readers


@pytest.fixture
def reader() -> Iterator[Readers]:
    """Opens readers, with a mapping given as in its file, and closes them after the test."""
    opened: list[SourceReader] = []

    def open_reader(url: str, **mapping: Any) -> SourceReader:
        opened.append(SourceReader(connect(url), Mapping.model_validate(mapping), CLOCK))
        return opened[-1]

    yield open_reader
    for each in opened:
        each.connector.close()


@pytest.fixture(params=["postgresql", "duckdb"])
def made(request: pytest.FixtureRequest, new_database: NewDatabase, tmp_path: Path) -> Make:
    """Makes a source from SQL statements that both kinds understand; returns its URL."""

    def make(*statements: str) -> str:
        if request.param == "postgresql":
            url = new_database()
            execute(url, *statements)
            return url
        with duckdb.connect(str(tmp_path / "made.duckdb")) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            for statement in statements:
                connection.execute(statement)
        return f"duckdb://{tmp_path / 'made.duckdb'}"

    return make


@pytest.fixture
def postgres(new_database: NewDatabase) -> Make:
    """Makes a PostgreSQL source from statements; returns its URL."""

    def make(*statements: str) -> str:
        url = new_database()
        execute(url, *statements)
        return url

    return make
