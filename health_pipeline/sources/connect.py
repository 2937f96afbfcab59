"""From HEALTH_SOURCE_URL to a connector."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

from health_pipeline.errors import SettingError
from health_pipeline.settings import ENGINE_MEMORY_MB, SOURCE_TIMEOUT_SECONDS
from health_pipeline.sources.reader import Connector

_EXPECTED = "postgresql://…, duckdb://FILE, parquet://FOLDER, spark://HOST:PORT or sc://HOST:PORT"


def connect(url: str, timeout_seconds: int = SOURCE_TIMEOUT_SECONDS, memory_mb: int = ENGINE_MEMORY_MB) -> Connector:
    """A connector for the URL; timeout_seconds: how long a server may take for one statement; memory_mb: what the
    engine in this process may take before it goes on on the disk.

    Raises SettingError for an unknown kind of URL, SourceError if it can't be reached.
    """
    scheme, separator, rest = url.partition("://")
    match scheme if separator else "":
        case "postgresql" | "postgres":
            from health_pipeline.sources.postgres import PostgresConnector

            return PostgresConnector(url, timeout_seconds, memory_mb)
        case "duckdb":
            from health_pipeline.sources.files import DuckDBConnector

            return DuckDBConnector(Path(unquote(rest)), memory_mb)
        case "parquet":
            from health_pipeline.sources.files import ParquetConnector

            return ParquetConnector(Path(unquote(rest)), memory_mb)
        case "spark" | "sc":
            if find_spec("pyspark") is None:
                raise SettingError(
                    f"HEALTH_SOURCE_URL: {scheme}:// needs Spark's client; install health-pipeline[spark]"
                )
            from health_pipeline.sources.spark import SparkConnector

            return SparkConnector(url)
        case _:
            found = f"starts with {scheme}://" if separator else "has no scheme"
            raise SettingError(f"HEALTH_SOURCE_URL must be {_EXPECTED}, but {found}")
