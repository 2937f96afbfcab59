"""Reading logical tables into the engine, with their bad rows set apart.

A reader serves one run: one connection, one snapshot, one clock. Rule: source-contract.md, "What bad input gets".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from operator import itemgetter
from typing import Protocol

import ibis
import ibis.expr.types as ir

from health_pipeline.days import at
from health_pipeline.errors import SourceError
from health_pipeline.metrics.freshness import LOOKBACK, Freshness, is_silent, is_stopped
from health_pipeline.sources.bad_rows import BadRow, bad_rows, check_share
from health_pipeline.sources.contract import (
    EARLIEST_INSTANT,
    LONGEST_ID,
    SOURCE_TABLES,
    TENANTS,
    SourceTable,
)
from health_pipeline.sources.engine import Step, as_they_are
from health_pipeline.sources.faults import (
    DUPLICATE,
    duplicate_keys,
    has_key,
    is_faulty,
    rank_among_duplicates,
    row_fault,
)
from health_pipeline.sources.found import FoundTable, at_one_of, union
from health_pipeline.sources.logical import Predicate, Relation, mapped_columns
from health_pipeline.sources.mapping import Mapping, Place


class Connector(Protocol):
    """A source: tells what lies at a place, and brings rows of it into the engine.

    counts_aside: whether rows of it that come to few groups had better be counted there, by load_aside.
    """

    engine: ibis.BaseBackend
    counts_aside: bool

    def relation(self, place: Place) -> Relation | None:
        """What lies at the place; None where there is no such table."""

    def load(
        self, rows: ir.Table, made: Step = as_they_are, *, is_little: bool = False, is_stretch: bool = False
    ) -> ir.Table:
        """The rows as a table of the engine, or what is made of them there as they arrive.

        is_little: that is few rows. is_stretch: they are found among all rows of a stretch of time, or of the table.
        """

    def load_aside(
        self, rows: ir.Table, made: Step = as_they_are, *, is_stretch: bool = False
    ) -> Callable[[], ir.Table]:
        """Begin to load few rows, while others are loaded; what it gives waits for them."""

    def settled(self, rows: ir.Table, loaded: ir.Table) -> ir.Table:
        """Rows as it is best to use them many times; the loaded ones that they were made of may go now."""

    def kept(self, rows: ir.Table, beside: ibis.BaseBackend | None = None) -> ir.Table:
        """The rows as a table of the engine, or of a connection beside."""

    def beside(self) -> AbstractContextManager[ibis.BaseBackend | None]:
        """Another connection to the engine, for another thread; None where it had better do one thing at a time."""

    def is_one_of(self, value: ir.StringValue, texts: Callable[[], list[str]]) -> ir.BooleanValue | None:
        """A predicate for the source, whether the value is one of the texts; None where it had better find them itself."""

    def is_unique(self, place: Place, columns: Sequence[str]) -> bool:
        """Whether the source itself guarantees that the physical columns are unique together."""

    def close(self) -> None: ...


@dataclass
class SourceReader:
    """Reads good rows; keeps the bad ones in `bad_rows` and counts of all rows in `rows_read`, by table."""

    connector: Connector
    mapping: Mapping
    clock: datetime
    rows_read: dict[str, int] = field(default_factory=dict)
    bad_rows: dict[str, list[BadRow]] = field(default_factory=dict)
    _good_tenants: ir.Table | None = None
    _good_ids: list[str] | None = None
    _found: dict[str, FoundTable | None] = field(default_factory=dict)
    _newest: Callable[[], ir.Table] | None = None

    def check(self) -> None:
        """Raises SourceError if any table that is there breaks the contract. Reads no rows."""
        for table in SOURCE_TABLES.values():
            self.find(table)

    def is_mapped(self, table: SourceTable) -> bool:
        return self.find(table) is not None

    def has_column(self, table: SourceTable, column: str) -> bool:
        found = self.find(table)
        return found is not None and column in found.mapped

    def of_no_good_tenant(self, rows: ir.Table) -> ir.BooleanValue:
        """A predicate for the source: whether a row can only be bad, as its tenant_id is that of no good tenant."""
        if (is_good := self.connector.is_one_of(rows.tenant_id, self._good_tenant_ids)) is not None:
            return ~is_good
        found = self.find(TENANTS)
        assert found is not None
        there = found.rows(["tenant_id"], lambda tenants: tenants.tenant_id.notnull())
        is_unknown = ~rows.tenant_id.isin(there.tenant_id)
        bad = sorted(self._bad_tenants())
        return is_unknown | rows.tenant_id.isin(bad) if bad else is_unknown

    def _good_tenant_ids(self) -> list[str]:
        if self._good_ids is None:
            assert self._good_tenants is not None
            ids: list[str] = self._good_tenants.select("tenant_id").to_pyarrow()["tenant_id"].to_pylist()
            self._good_ids = ids
        return self._good_ids

    def bad_tenants(self) -> dict[str, str]:
        """The ids that only bad rows of `tenants` have, each with a fault of its first row; an overlong id is cut."""
        return {
            tenant_id if len(tenant_id) <= LONGEST_ID else tenant_id[: LONGEST_ID - 1] + "…": fault
            for tenant_id, fault in self._bad_tenants().items()
        }

    def _bad_tenants(self) -> dict[str, str]:
        assert self._good_tenants is not None
        faults: dict[str, str] = {}
        for row in self.bad_rows.get(TENANTS.name, []):
            if row.row_key:
                faults.setdefault(row.row_key, row.reason)
        if not faults:
            return {}
        good = self._good_tenants.filter(self._good_tenants.tenant_id.isin(sorted(faults)))
        staying = set(good.to_pyarrow()["tenant_id"].to_pylist())
        return {tenant_id: fault for tenant_id, fault in faults.items() if tenant_id not in staying}

    def read(
        self, table: SourceTable, columns: Sequence[str] | None = None, parts: Sequence[Predicate] = ()
    ) -> ir.Table | None:
        """The good rows of a logical table; None where it is not mapped.

        columns: those to bring along (default all; the required ones always come, and a key that may be repeated). parts:
        predicates that exclude each other, each served by an index of its own; their union is read (default every row).
        Rows that share a key with those read come along too, so that the row that stays is the same in every run.
        """
        if table is TENANTS and self._good_tenants is not None:
            return self._good_tenants
        return self._begun(table, columns, parts, lambda rows: lambda: self.connector.load(rows))()

    def begun(
        self, table: SourceTable, columns: Sequence[str] | None = None, parts: Sequence[Predicate] = ()
    ) -> Callable[[], ir.Table | None]:
        """Begin to read few rows, while others are read; what it gives waits for them, and gives what `read` does."""
        return self._begun(table, columns, parts, self.connector.load_aside)

    def _begun(
        self,
        table: SourceTable,
        columns: Sequence[str] | None,
        parts: Sequence[Predicate],
        load: Callable[[ir.Table], Callable[[], ir.Table]],
    ) -> Callable[[], ir.Table | None]:
        found = self.find(table)
        if found is None:
            return lambda: None
        if table is not TENANTS and self._good_tenants is None:
            self.read(TENANTS)
        names = found.names_with(columns)
        coming = load(union([found.rows(names, part) for part in parts or (None,)]))
        return lambda: self._good_rows(found, names, parts, coming())

    def _good_rows(self, found: FoundTable, names: list[str], parts: Sequence[Predicate], loaded: ir.Table) -> ir.Table:
        if parts and found.may_repeat_keys:
            loaded = self._with_rows_of_same_key(found, names, loaded, parts)
        good = self.connector.settled(self._set_bad_rows_apart(found, names, loaded), loaded)
        if found.table is TENANTS:
            self._good_tenants = good
        return good

    def newest_facts(self, names: Iterable[str]) -> dict[str, datetime | None]:
        """When the newest row of each of these tables was created that isn't of the future, UTC; None where there is none."""
        return _as_instants(self.connector.load(self._newest_of(names)))

    def _newest_of(self, names: Iterable[str]) -> ir.Table:
        return union([self._newest_fact(SOURCE_TABLES[name]) for name in names])

    def begin_freshness(self) -> None:
        """Begin to ask what `freshness` will be asked, after the last read."""
        self._newest = self.connector.load_aside(self._newest_of(self.rows_read))

    def freshness(self) -> dict[str, Freshness]:
        """How fresh each table is of which rows were read."""
        newest = self.newest_facts(self.rows_read) if self._newest is None else _as_instants(self._newest())
        return {name: self._freshness_of(SOURCE_TABLES[name], newest[name]) for name in self.rows_read}

    def _newest_fact(self, table: SourceTable) -> ir.Table:
        """One row: the table's name, and its newest fact or null."""
        found = self.find(table)
        assert found is not None

        def has_been(rows: ir.Table) -> ir.BooleanValue:
            when = rows[table.creation]
            return when.between(at(when, EARLIEST_INSTANT), at(when, self.clock))

        # Of the column as it stands, which an index can answer.
        past = found.named(has_been)
        newest = past.agg(newest=past[table.creation].max())
        return newest.select(source_table=ibis.literal(table.name), newest=newest.newest.cast("timestamp"))

    def _freshness_of(self, table: SourceTable, newest: datetime | None) -> Freshness:
        if newest is None or not is_silent(newest, self.clock):
            return Freshness(newest, is_stopped=False)
        found = self.find(table)
        assert found is not None

        def before(rows: ir.Table) -> ir.BooleanValue:
            when = rows[table.creation]
            first = newest - min(LOOKBACK, newest - EARLIEST_INSTANT)
            return when.between(at(when, first), at(when, newest))

        hours = found.rows([table.creation], before).select(hour=lambda rows: rows[table.creation].truncate("h"))
        busy = self.connector.load(hours.distinct()).to_pyarrow()["hour"].to_pylist()
        return Freshness(newest, is_stopped(newest, self.clock, [hour.replace(tzinfo=UTC) for hour in busy]))

    def check_share(self, max_bad_share: float) -> None:
        """Raises TooManyBadRows if any table had 10 or more bad rows and more than this share of the rows read."""
        check_share({name: len(rows) for name, rows in self.bad_rows.items()}, self.rows_read, max_bad_share)

    def find(self, table: SourceTable) -> FoundTable | None:
        """The table in the source; None where it is not mapped. Raises SourceError where it breaks the contract."""
        if table.name not in self._found:
            self._found[table.name] = self._looked_up(table)
        return self._found[table.name]

    def _looked_up(self, table: SourceTable) -> FoundTable | None:
        place = self.mapping.place(table)
        relation = self.connector.relation(place) if place else None
        if place is None or relation is None:
            if place is not None and (table.required or place.is_named):
                raise SourceError(
                    f"source table {table.name}: was looked for as {place}, but there is no such table;"
                    " check HEALTH_SOURCE_URL and HEALTH_SOURCE_MAPPING"
                )
            return None
        mapped = mapped_columns(table, place, relation)
        has_key = all(name in mapped for name in table.key)
        is_unique = has_key and self.connector.is_unique(place, [mapped[name] for name in table.key])
        return FoundTable(table, relation, mapped, may_repeat_keys=has_key and not is_unique)

    def _with_rows_of_same_key(
        self, found: FoundTable, names: list[str], loaded: ir.Table, parts: Sequence[Predicate]
    ) -> ir.Table:
        (key,) = found.table.key

        def same_key_elsewhere(rows: ir.Table) -> ir.BooleanValue:
            read = reduce(lambda a, b: a | b, (part(rows).fill_null(False) for part in parts))
            keys = union([rows.filter(part(rows)).select(key) for part in parts])
            return ~read & rows[key].isin(keys.filter(keys[key].notnull() & (keys[key] != ""))[key])

        others = self.connector.load(found.rows(names, same_key_elsewhere))
        return loaded.union(others, distinct=False) if row_count(others) else loaded

    def _set_bad_rows_apart(self, found: FoundTable, names: list[str], loaded: ir.Table) -> ir.Table:
        """The good rows; keeps the bad ones, and how many rows there are."""
        table = found.table
        engine = self.connector.engine
        repeated = self._repeated_keys(found, loaded)
        is_suspect = self._is_bad(table, loaded)
        if repeated is not None:
            is_suspect |= _key_in(table, loaded, repeated)
        suspects = loaded.filter(is_suspect)
        self.rows_read[table.name], suspected = sums(loaded.count(), suspects.count())
        if not suspected:
            return loaded
        suspects = engine.create_table(_fresh("suspects"), suspects, temp=True)
        complete = self._complete_rows(found, names, suspects)
        judged = engine.create_table(_fresh("judged"), self._judged(table, complete), temp=True)
        if records := recorded(table, judged):
            self.bad_rows[table.name] = records
        innocent = loaded.filter(~is_suspect)
        if repeated is None:
            return innocent
        staying = judged.filter(judged.reason.isnull() & _key_in(table, judged, repeated)).select(names)
        return innocent.union(staying, distinct=False)

    def _repeated_keys(self, found: FoundTable, loaded: ir.Table) -> ir.Table | None:
        """The keys that several rows have, good or bad; None where there are none."""
        if not found.may_repeat_keys:
            return None
        keys = duplicate_keys(found.table, loaded)
        repeated = self.connector.engine.create_table(_fresh("repeated"), keys, temp=True)
        return repeated if row_count(repeated) else None

    def _complete_rows(self, found: FoundTable, names: list[str], suspects: ir.Table) -> ir.Table:
        """The suspects with all columns of the contract: read again where only some of the mapped ones were read at first."""
        if set(found.mapped) <= set(names):
            return found.with_all_columns(suspects)
        creation = found.table.creation
        instants = suspects.select(creation).distinct().to_pyarrow()[creation].to_pylist()
        again = self.connector.load(found.rows(found.table.names, at_one_of(instants, creation)))
        read = suspects.distinct()
        same = [again[name].identical_to(read[name]) for name in names]
        return again.semi_join(read, same)

    def fault(self, table: SourceTable, rows: ir.Table) -> ir.StringValue:
        """The first fault of each of the rows, or null."""
        good = self._good_tenants
        return row_fault(table, rows, None if good is None else ~rows.tenant_id.isin(good.tenant_id), self.clock)

    def _is_bad(self, table: SourceTable, rows: ir.Table) -> ir.BooleanValue:
        """Whether `fault` finds one."""
        good = self._good_tenants
        is_bad = is_faulty(table, rows, self.clock)
        return is_bad if good is None else is_bad | ~rows.tenant_id.isin(good.tenant_id)

    def _judged(self, table: SourceTable, rows: ir.Table) -> ir.Table:
        judged = rows.mutate(reason=self.fault(table, rows))
        keyed = judged.reason.isnull() & has_key(table, judged)
        ranked = judged.filter(keyed).mutate(rank=rank_among_duplicates(table, judged.filter(keyed)))
        of_key = ranked.mutate(reason=ibis.cases((ranked["rank"] > 0, DUPLICATE), else_=ibis.null("string")))
        return judged.filter(~keyed).union(of_key.drop("rank"), distinct=False)


def _as_instants(facts: ir.Table) -> dict[str, datetime | None]:
    rows = facts.to_pyarrow().to_pylist()
    return {row["source_table"]: row["newest"] and row["newest"].replace(tzinfo=UTC) for row in rows}


def recorded(table: SourceTable, judged: ir.Table) -> list[BadRow]:
    """Records of those rows that have a `reason`."""
    return bad_rows(table, judged.filter(judged.reason.notnull()).to_pyarrow().to_pylist())


def row_count(rows: ir.Table) -> int:
    (count,) = sums(rows.count())
    return count


def sums(*asked: ir.IntegerScalar) -> list[int]:
    """Sums and counts of rows, 0 of none, asked at once."""
    each = [number.name("number").as_table().mutate(place=ibis.literal(place)) for place, number in enumerate(asked)]
    found = sorted(union(each).to_pyarrow().to_pylist(), key=itemgetter("place"))
    return [int(row["number"] or 0) for row in found]


def _key_in(table: SourceTable, rows: ir.Table, keys: ir.Table) -> ir.BooleanValue:
    """Whether the row's key is among the keys."""
    if len(table.key) == 1:
        inside = rows[table.key[0]].isin(keys[table.key[0]])
    else:
        parts = [rows[name].cast("string") for name in table.key]
        inside = _joined(parts).isin(_joined([keys[name].cast("string") for name in table.key]))
    return has_key(table, rows) & inside


def _joined(parts: list[ir.StringValue]) -> ir.StringValue:
    """Parts as one text that no other parts give: each with its length before it."""
    return reduce(lambda a, b: a + b, (part.length().cast("string") + ":" + part for part in parts))


def _fresh(name: str) -> str:
    return str(ibis.util.gen_name(name))
