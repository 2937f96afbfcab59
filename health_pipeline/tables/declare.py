"""What a declaration of a warehouse table says. The tables themselves stand in the modules beside this one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Type(StrEnum):
    """Column types, named as PostgreSQL names them."""

    TEXT = "text"
    INTEGER = "integer"
    BIGINT = "bigint"
    FLOAT = "double precision"
    BOOLEAN = "boolean"
    DATE = "date"
    INSTANT = "timestamptz"
    NUMERIC = "numeric"
    JSON = "jsonb"


@dataclass(frozen=True)
class Column:
    """A column: its type, what it says, its unit, and the values that it may hold (bounds are inclusive).

    has_addresses: it may hold people's email addresses, which analysts don't get to see.
    """

    name: str
    type: Type
    description: str
    unit: str = ""
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    one_of: tuple[str, ...] | None = None
    has_addresses: bool = False


@dataclass(frozen=True)
class Table:
    """A table: what one row is (grain), its key, its columns, and how it is filled.

    group: the system it belongs to. cadence: "daily" or "weekly" where `metric_date` partitions it, else "".
    indexes: columns of further indexes beside the key. retention: how long rows are kept, where that isn't for ever.
    """

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    group: str
    cadence: str = ""
    indexes: tuple[tuple[str, ...], ...] = ()
    retention: str = ""

    @property
    def column_names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def is_by_month(self) -> bool:
        """Whether PostgreSQL keeps its rows in a partition per month: so do the daily tables, which grow every night."""
        return self.cadence == "daily"


@dataclass(frozen=True)
class View:
    """A view: what one row is, and its columns with what they say, in order. Its SQL: warehouse/views/NAME.sql.

    for_tenants: its rows of a tenant are the same when it sees no other tenant's rows, so tenants may read it.
    """

    name: str
    grain: str
    columns: tuple[tuple[str, str], ...]
    group: str
    for_tenants: bool = False


def text(name: str, description: str, *, nullable: bool = False, one_of: tuple[str, ...] | None = None) -> Column:
    return Column(name, Type.TEXT, description, nullable=nullable, one_of=one_of)


def address(name: str, description: str) -> Column:
    """A person's email address."""
    return Column(name, Type.TEXT, description, has_addresses=True)


def count(name: str, description: str, *, nullable: bool = False, unit: str = "count") -> Column:
    return Column(name, Type.BIGINT, description, unit=unit, nullable=nullable, minimum=0)


def score(name: str, description: str, *, nullable: bool = True) -> Column:
    return Column(name, Type.INTEGER, description, unit="points", nullable=nullable, minimum=0, maximum=100)


def figure(
    name: str, description: str, *, unit: str = "", minimum: float | None = None, maximum: float | None = None
) -> Column:
    return Column(name, Type.FLOAT, description, unit=unit, nullable=True, minimum=minimum, maximum=maximum)


def instant(name: str, description: str, *, nullable: bool = False) -> Column:
    return Column(name, Type.INSTANT, description, unit="UTC", nullable=nullable)


def day(name: str, description: str, *, nullable: bool = False) -> Column:
    return Column(name, Type.DATE, description, nullable=nullable)


METRIC_DATE = day("metric_date", "The day D that the row describes, as it was at the end of D.")
TENANT_ID = text("tenant_id", "The tenant.")
