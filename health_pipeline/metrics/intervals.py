"""Figures over a range of days from what changes them: the technique that makes a range cost little more than a day.

A fact counts on a run of days: a login for 30, an open case until it is closed. It adds its weight at its first day and takes
it away at the day after its last, and a running sum per entity gives every day of the range in one pass. What counts on its
own day alone isn't summed. Rule: architecture.md, "Range-first". Days are indexes into the range (Calendar.day_index).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from health_pipeline.days import DAY, DayRange


@dataclass(frozen=True)
class Moments:
    """Columns of instants, of which the first and the last up to a day are wanted."""

    first: str
    last: str


@dataclass(frozen=True)
class Change:
    """What changes figures. rows: an entity's keys, day, and by how much each of the figures; null: not at all.

    By how much is a whole number, kept as one of floating point: these are exact up to 2 ** 53, and an engine that sums whole ones
    in 128 bits takes longer.
    lasts: whether from that day on, or on that day alone. moments: of the rows, when it happened.
    """

    rows: ir.Table
    figures: tuple[str, ...]
    lasts: bool
    moments: Moments | None = None


def from_day_on(
    rows: ir.Table,
    keys: Sequence[str],
    day: ir.IntegerValue,
    moments: Moments | None = None,
    /,
    **weights: ir.IntegerValue | int,
) -> list[Change]:
    """Each row adds the weights to these figures of its entity from the day on. A null day is never."""
    return [_change(rows, keys, day, weights, lasts=True, moments=moments)]


def within(
    rows: ir.Table,
    keys: Sequence[str],
    first_day: ir.IntegerValue,
    end_day: ir.IntegerValue,
    **weights: ir.IntegerValue | int,
) -> list[Change]:
    """The same until the day before end_day; null: for good. Where that lies before the first day, the row counts nowhere."""
    some = rows.mutate(__first=first_day, __end=end_day)
    is_over = some["__end"] <= ibis.greatest(some["__first"], 0)
    some = some.filter(some["__first"].notnull() & ~is_over.fill_null(False))
    less = {name: -weight for name, weight in weights.items()}
    return [
        _change(some, keys, some["__first"], weights, lasts=True),
        _change(some.filter(some["__end"].notnull()), keys, some["__end"], less, lasts=True),
    ]


def on_day(rows: ir.Table, keys: Sequence[str], day: ir.IntegerValue, **weights: ir.IntegerValue | int) -> list[Change]:
    """The same on the day alone."""
    return [_change(rows, keys, day, weights, lasts=False)]


def _change(
    rows: ir.Table,
    keys: Sequence[str],
    day: ir.IntegerValue,
    weights: dict[str, ir.IntegerValue | int],
    *,
    lasts: bool,
    moments: Moments | None = None,
) -> Change:
    columns = {
        name: (ibis.literal(weight) if isinstance(weight, int) else weight).cast("float64")
        for name, weight in weights.items()
    }
    also = [] if moments is None else [moments.first, moments.last]
    return Change(rows.select(*keys, *also, day=day.cast("int64"), **columns), tuple(weights), lasts, moments)


def earlier(day: ir.IntegerValue, other: ir.IntegerValue) -> ir.IntegerValue:
    """The earlier of two days, of which null is never."""
    return ibis.least(day.fill_null(other), other.fill_null(day))


def day_table(days: DayRange, first: int = 0) -> ir.Table:
    """The days of the range: day (its index, that of the first being `first`), metric_date."""
    return ibis.memtable(
        {"day": range(first, first + len(days)), "metric_date": list(days)},
        schema={"day": "int64", "metric_date": "date"},
    )


def counts_by_day(changes: Sequence[Change], entities: ir.Table, figures: Sequence[str], days: DayRange) -> ir.Table:
    """The figures of every day of the range; grain: one row per entity and day.

    entities: distinct keys, one row each. Columns: the keys, day, metric_date and each figure (0 where nothing counts).
    """
    of_own_day = {name for change in changes if not change.lasts for name in change.figures}
    stretches = counts_by_stretch(changes, entities, figures, days)
    rows = on_each_day(stretches.mutate(start=stretches.day), days, days)
    own = {name: ibis.cases((rows.day == rows.start, rows[name]), else_=0) for name in figures if name in of_own_day}
    return rows.mutate(own).drop("start")


def counts_by_stretch(
    changes: Sequence[Change], entities: ir.Table, figures: Sequence[str], days: DayRange
) -> ir.Table:
    """The same by stretches of days on which nothing changes; grain: entity and first day of a stretch.

    Columns: the keys, day, until (exclusive), each figure (one that is of its own day holds for the first alone), and the
    moments of changes, first and last up to the day.
    """
    keys = entities.columns
    moments = dict.fromkeys(change.moments for change in changes if change.moments is not None)
    at = {name: change.rows[name].type() for change in changes if (m := change.moments) for name in (m.first, m.last)}
    types = {**dict.fromkeys(figures, ibis.dtype("float64")), **at}
    # Every entity has a first day; further days of its own only where something changes.
    first = entities.mutate(day=ibis.literal(0, "int64"))
    pieces = [first, *(_inside(change, len(days)) for change in changes)]
    aligned = [_with_columns(piece, [*keys, "day"], types) for piece in pieces]
    changed = ibis.union(*aligned, distinct=False).semi_join(entities, keys)
    by_day = changed.group_by([*keys, "day"]).agg(
        **{name: changed[name].sum().fill_null(0) for name in figures},
        **{moment.first: changed[moment.first].min() for moment in moments},
        **{moment.last: changed[moment.last].max() for moment in moments},
    )
    running = ibis.window(group_by=keys, order_by="day", preceding=None, following=0)
    lasting = {name for change in changes if change.lasts for name in change.figures}
    so_far = {name: by_day[name].sum().over(running) if name in lasting else by_day[name] for name in figures}
    so_far = {name: value.cast("int64") for name, value in so_far.items()}
    for moment in moments:
        so_far[moment.first] = by_day[moment.first].min().over(running)
        so_far[moment.last] = by_day[moment.last].max().over(running)
    # One step with the sums, as the engine sorts once for each.
    next_day = by_day.day.lead().over(ibis.window(group_by=keys, order_by="day"))
    return by_day.mutate(**so_far, until=next_day.fill_null(len(days)))


def on_each_day(stretches: ir.Table, days: DayRange, some: DayRange) -> ir.Table:
    """Stretches, whose days are indexes into `days`, day by day; grain: as before and day, for `some` of them.

    Columns: as before without until, and metric_date.
    """
    first = (some.first - days.first) // DAY
    touching = stretches.filter((stretches.day < first + len(some)) & (stretches.until > first))
    start, end = ibis.greatest(touching.day, first), ibis.least(touching.until, first + len(some))
    filled = touching.mutate(day=ibis.range(start, end).unnest()).drop("until")
    return filled.inner_join(day_table(some, first), "day").relocate("metric_date", after="day")


def _inside(change: Change, size: int) -> ir.Table:
    """The rows that a range of so many days sees. What lasts from before it counts from its first day on."""
    rows = change.rows.filter(change.rows.day < size)
    return rows.mutate(day=ibis.greatest(rows.day, 0)) if change.lasts else rows.filter(rows.day >= 0)


def _with_columns(rows: ir.Table, names: Sequence[str], types: dict[str, ibis.DataType]) -> ir.Table:
    """Rows in one form: those of the columns that they lack are null."""
    return rows.select(
        *names, **{name: rows[name] if name in rows.columns else ibis.null(dtype) for name, dtype in types.items()}
    )
