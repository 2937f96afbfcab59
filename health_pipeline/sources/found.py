"""A logical table as it was found in the source, and its rows as expressions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import ibis
import ibis.expr.types as ir

from health_pipeline.days import at
from health_pipeline.sources.contract import SourceTable
from health_pipeline.sources.logical import Predicate, Relation, is_infinite, logical_rows, named_rows

_MOST_INSTANTS_LISTED = 1000


@dataclass(frozen=True)
class FoundTable:
    """A logical table that is there: its relation, and contract column -> physical column.

    may_repeat_keys: it has its key, and the source itself doesn't guarantee that the key is unique.
    """

    table: SourceTable
    relation: Relation
    mapped: dict[str, str]
    may_repeat_keys: bool

    def names_with(self, columns: Sequence[str] | None) -> list[str]:
        """The columns to read, to bring these (None: all): the required ones and a key that may be repeated come along."""
        key = self.table.key if self.may_repeat_keys else ()
        return [c.name for c in self.table.columns if columns is None or c.required or c.name in (*key, *columns)]

    def with_all_columns(self, rows: ir.Table) -> ir.Table:
        """The rows in the contract's columns; those that are not there are null."""
        return logical_rows(
            self.table, Relation(rows, {}), {name: name for name in rows.columns}, self.table.names, None
        )

    def named(self, where: Predicate) -> ir.Table:
        return named_rows(self.table, self.relation, self.mapped, where)

    def rows(self, names: list[str], where: Predicate | None) -> ir.Table:
        return logical_rows(self.table, self.relation, self.mapped, names, where)


def union(tables: list[ir.Table]) -> ir.Table:
    return tables[0] if len(tables) == 1 else ibis.union(*tables, distinct=False)


def any_of(predicates: Sequence[Predicate]) -> Predicate:
    """Whether one of them holds."""
    return lambda rows: ibis.or_(*(predicate(rows) for predicate in predicates))


def at_one_of(instants: Sequence[datetime | None], creation: str) -> Predicate:
    """Whether a physical row may be of one of these instants; many of them, or impossible ones, take others along."""
    known = [value for value in instants if value is not None]

    def same_instant(rows: ir.Table) -> ir.BooleanValue:
        column = rows[creation]
        if len(known) > _MOST_INSTANTS_LISTED:
            listed = (column >= at(column, min(known))) & (column <= at(column, max(known)))
        else:
            listed = column.isin([at(column, value) for value in known]) if known else ibis.literal(False)
        return listed | is_infinite(column) | column.isnull()

    return same_instant
