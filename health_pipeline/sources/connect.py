"""From HEALTH_SOURCE_URL to a connector."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from health_pipeline.errors import SettingError
from health_pipeline.sources.reader import Connector

_EXPECTED = "postgresql://…, duckdb://FILE or parquet://FOLDER"


def connect(url: str) -> Connector:
    """A connector for the URL. Raises SettingError for an unknown kind of URL, SourceError if it can't be reached."""
    scheme, separator, rest = url.partition("://")
    match scheme if separator else "":
        case "postgresql" | "postgres":
            from health_pipeline.sources.postgres import PostgresConnector

            return PostgresConnector(url)
        case "duckdb":
            from health_pipeline.sources.files import DuckDBConnector

            return DuckDBConnector(Path(unquote(rest)))
        case "parquet":
            from health_pipeline.sources.files import ParquetConnector

            return ParquetConnector(Path(unquote(rest)))
        case _:
            found = f"starts with {scheme}://" if separator else "has no scheme"
            raise SettingError(f"HEALTH_SOURCE_URL must be {_EXPECTED}, but {found}")
