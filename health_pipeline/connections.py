"""From settings to URLs: where a URL is not set, the embedded server is started and gives it."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from health_pipeline.embedded import EmbeddedServer
from health_pipeline.settings import Settings


@dataclass(frozen=True)
class Urls:
    """The three databases of a deployment."""

    source: str
    warehouse: str
    dagster: str

    def export(self, environment: MutableMapping[str, str] | None = None) -> None:
        """Let child processes use the same servers without starting one."""
        target = os.environ if environment is None else environment
        target["HEALTH_SOURCE_URL"] = self.source
        target["HEALTH_WAREHOUSE_URL"] = self.warehouse
        target["HEALTH_DAGSTER_URL"] = self.dagster


def resolved_urls(settings: Settings) -> Urls:
    """The URLs of the settings; starts the embedded server if one of them is missing."""

    def embedded(database: str) -> str:
        return embedded_server(settings.home).url(database)

    return Urls(
        source=settings.source_url or embedded("application"),
        warehouse=settings.warehouse_url or embedded("warehouse"),
        dagster=settings.dagster_url or embedded("dagster"),
    )


@cache
def embedded_server(home: Path) -> EmbeddedServer:
    """This process' one server of the folder; it is left, and stopped by the last process, at exit."""
    return EmbeddedServer(home)
