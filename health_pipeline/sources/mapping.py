"""The mapping file: where each logical table lies in a company's own database. Rule: interface.md, HEALTH_SOURCE_MAPPING."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from health_pipeline.errors import MappingError
from health_pipeline.sources.contract import SOURCE_TABLES, SourceTable
from health_pipeline.yaml_files import read_yaml

DEFAULT_SCHEMA = "app"
Filled = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]


class TableMapping(BaseModel):
    """A logical table's place: a table (in a schema) or a select, and the columns whose names differ.

    A column that is mapped to null is not read; one that isn't named is looked for under its own name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_name: Filled | None = Field(default=None, alias="schema")
    table: Filled | None = None
    sql: Filled | None = None
    columns: dict[str, str | None] = {}

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.sql is not None and (self.table is not None or self.schema_name is not None):
            raise ValueError("give either a table or a select (sql), not both")
        return self


class Mapping(BaseModel):
    """Places of all logical tables. A table mapped to null is not there; one not named lies under its own name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_name: Filled = Field(default=DEFAULT_SCHEMA, alias="schema")
    tables: dict[str, TableMapping | None] = {}

    @model_validator(mode="after")
    def _known_names(self) -> Self:
        for name, table in self.tables.items():
            if name not in SOURCE_TABLES:
                raise ValueError(f"tables.{name}: unknown logical table; known are {', '.join(SOURCE_TABLES)}")
            if table is None:
                if SOURCE_TABLES[name].required:
                    raise ValueError(f"tables.{name}: is always needed and can't be mapped to null")
                continue
            known = {column.name: column for column in SOURCE_TABLES[name].columns}
            for column, physical in table.columns.items():
                if column not in known:
                    raise ValueError(f"tables.{name}.columns.{column}: unknown column; known are {', '.join(known)}")
                if physical is None and known[column].required:
                    raise ValueError(f"tables.{name}.columns.{column}: is required and can't be mapped to null")
        return self

    def place(self, table: SourceTable) -> Place | None:
        """Where to read the table; None where the mapping says that it isn't there."""
        if table.name in self.tables and self.tables[table.name] is None:
            return None
        given = self.tables.get(table.name) or TableMapping()
        return Place(
            logical=table.name,
            schema_name=given.schema_name or self.schema_name,
            table=given.table or table.name,
            sql=given.sql,
            columns=given.columns,
            is_named=table.name in self.tables,
        )


class Place(BaseModel):
    """Where a logical table lies: a physical table or a select. is_named: the mapping speaks of it, so it must be there."""

    model_config = ConfigDict(frozen=True)

    logical: str
    schema_name: str
    table: str
    sql: str | None
    columns: dict[str, str | None]
    is_named: bool

    def __str__(self) -> str:
        return "its select (sql)" if self.sql else f"{self.schema_name}.{self.table}"


def load_mapping(path: Path | None) -> Mapping:
    """The mapping file, or the default. Raises MappingError with the key and the reason."""
    if path is None:
        return Mapping()
    given = read_yaml(path, "mapping", "HEALTH_SOURCE_MAPPING", MappingError)
    try:
        return Mapping.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        reason = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        raise MappingError(f"mapping {path}: {key + ': ' if key else ''}{reason}") from error
