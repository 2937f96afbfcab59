"""Reading rows as counts: none of them is kept, but for bad ones, which are read once more to be recorded.

Rows are counted in the engine as they arrive, or where they lie: the same expressions do both. Rule: source-contract.md,
"What bad input gets".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import ibis
import ibis.expr.types as ir

from health_pipeline.days import at
from health_pipeline.sources.contract import EARLIEST_INSTANT, TENANTS, SourceTable
from health_pipeline.sources.faults import is_faulty
from health_pipeline.sources.found import FoundTable, any_of, at_one_of, union
from health_pipeline.sources.logical import Predicate, logical_instants
from health_pipeline.sources.reader import SourceReader, recorded, sums


def every_row(_rows: ir.Table) -> ir.BooleanValue:
    """The predicate of a whole table."""
    return ibis.literal(True)


# Makes groups of rows with their tenant_id and a `row_count`, told apart also by the columns that are named.
Counting = Callable[[ir.Table, Sequence[str]], ir.Table]
# Of a group of rows that are bad in themselves: when they were created.
_BAD_AT = "bad_at"
_MOST_TENANTS_LISTED = 1000


@dataclass(frozen=True)
class Aside:
    """Rows that come to few groups, which the source counts itself.

    where: which rows; none of them is in a part that is read. counting: how; it meets instants as the source holds them.
    completed: adds columns that need not be brought, told also those that `counting` was. is_meanwhile: whether while others are
    read, or before them.
    """

    where: Predicate
    counting: Counting
    completed: Counting = lambda groups, _also: groups
    is_meanwhile: bool = True


def counts_aside(reader: SourceReader, table: SourceTable) -> bool:
    """Whether the source can count rows of the table itself, and had better: they would have to move here otherwise."""
    found = reader.find(table)
    return found is not None and reader.connector.counts_aside and not found.may_repeat_keys


@dataclass(frozen=True)
class CountedRows:
    """What `SourceReader.read` gives, as counts.

    columns, parts: as in `SourceReader.read`; with asides and no parts all is counted aside. is_little: whether the counts are
    a small part of the rows. is_meanwhile: whether the rows are few, and read while others are.
    Where the source doesn't guarantee that keys are unique, rows have to be compared, and are read in full first.
    """

    reader: SourceReader
    table: SourceTable
    columns: Sequence[str]
    parts: Sequence[Predicate]
    counting: Counting
    is_little: bool = False
    is_meanwhile: bool = False
    asides: Sequence[Aside] = ()

    def begun(self) -> Callable[[], ir.Table | None]:
        """Begin what is counted aside or read meanwhile; what it gives reads the rest, and waits. None: a table not mapped."""
        found = self.reader.find(self.table)
        if found is None:
            return lambda: None
        if found.may_repeat_keys:
            return self._read_in_full
        load = partial(self.reader.connector.load_aside, is_stretch=True)
        coming = [
            self._arriving(aside, load(self._counted_there(found, aside)))
            for aside in self.asides
            if aside.is_meanwhile
        ]
        if self._read_parts and self.is_meanwhile:
            coming.append(load(self._rows(found), self._counted_here))
        return lambda: self.groups(found, coming)

    def _read_in_full(self) -> ir.Table:
        good = self.reader.read(self.table, self.columns, self.parts)
        assert good is not None
        return self.reader.connector.settled(self.counting(good, []), good)

    def _counted_there(self, found: FoundTable, aside: Aside) -> ir.Table:
        return logical_instants(found.relation, aside.counting(self._dated(found.named(aside.where)), [_BAD_AT]))

    @staticmethod
    def _arriving(aside: Aside, arrived: Callable[[], ir.Table]) -> Callable[[], ir.Table]:
        """The groups with all columns, once they are here."""
        return lambda: aside.completed(arrived(), [_BAD_AT])

    def _rows(self, found: FoundTable) -> ir.Table:
        names = found.names_with(self.columns)
        return union([found.rows(names, part) for part in self._read_parts])

    def _counted_here(self, arriving: ir.Table) -> ir.Table:
        return self.counting(self._dated(arriving), [_BAD_AT])

    def _dated(self, rows: ir.Table) -> ir.Table:
        when = rows[self.table.creation]
        earliest = at(when, EARLIEST_INSTANT)
        is_bad = is_faulty(self.table, rows, self.reader.clock)
        return rows.mutate({_BAD_AT: ibis.cases((is_bad, when.fill_null(earliest)), else_=ibis.null(when.type()))})

    @property
    def _read_parts(self) -> Sequence[Predicate]:
        return self.parts or ([] if self.asides else [every_row])

    def groups(self, found: FoundTable, coming: Sequence[Callable[[], ir.Table]]) -> ir.Table:
        """The counts of good rows, once the bad ones are recorded."""
        good_tenants = self.reader.read(TENANTS)
        assert good_tenants is not None
        load = partial(self.reader.connector.load, is_stretch=True)
        pieces = [
            self._arriving(aside, partial(load, self._counted_there(found, aside)))()
            for aside in self.asides
            if not aside.is_meanwhile
        ]
        if self._read_parts and not self.is_meanwhile:
            pieces.append(load(self._rows(found), self._counted_here, is_little=self.is_little))
        pieces += [arrived() for arrived in coming]
        groups = union(pieces)
        judged = groups.mutate(is_of_no_tenant=~groups.tenant_id.isin(good_tenants.tenant_id))
        is_bad = judged[_BAD_AT].notnull() | judged.is_of_no_tenant
        bad = judged.filter(is_bad)
        self.reader.rows_read[self.table.name], bad_groups = sums(groups.row_count.sum(), bad.count())
        if not bad_groups:
            return groups.drop(_BAD_AT)
        self._record(found, bad)
        return self.reader.connector.settled(judged.filter(~is_bad).drop(_BAD_AT, "is_of_no_tenant"), groups)

    def _record(self, found: FoundTable, bad: ir.Table) -> None:
        """Read the rows of bad groups with all columns, and record those that are bad."""
        instants = bad.filter(bad[_BAD_AT].notnull()).select(_BAD_AT).distinct().to_pyarrow()[_BAD_AT].to_pylist()
        strange = bad.filter(bad[_BAD_AT].isnull()).select("tenant_id").distinct()
        ids = strange.limit(_MOST_TENANTS_LISTED + 1).to_pyarrow()["tenant_id"].to_pylist()
        conditions: list[Predicate] = []
        if instants:
            conditions.append(at_one_of(instants, self.table.creation))
        if len(ids) > _MOST_TENANTS_LISTED:
            conditions.append(self.reader.of_no_good_tenant)
        elif ids:
            conditions.append(lambda rows: rows.tenant_id.isin(ids))
        parts = [*self._read_parts, *(aside.where for aside in self.asides)]

        def maybe_bad(part: Predicate) -> Predicate:
            return lambda rows: part(rows) & any_of(conditions)(rows)

        loaded = self.reader.connector.load(union([found.rows(self.table.names, maybe_bad(part)) for part in parts]))
        judged = loaded.mutate(reason=self.reader.fault(self.table, loaded))
        self.reader.bad_rows[self.table.name] = recorded(self.table, judged)
