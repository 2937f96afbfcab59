"""Figures over a range of days as counts of intervals: the technique that makes a range cost little more than a day.

A fact counts on a run of days: a login for 30, an open case until it is closed. As an interval it adds its weight at its
first day and takes it away at the day after its last, and a running sum per entity gives every day of the range in one
pass. Rule: architecture.md, "Range-first". Days are indexes into the range (Calendar.day_index).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from health_pipeline.days import DAY, DayRange


def intervals(
    rows: ir.Table,
    keys: Sequence[str],
    figure: ir.StringValue | str,
    first_day: ir.IntegerValue,
    end_day: ir.IntegerValue | None,
    weight: ir.IntegerValue | int = 1,
) -> ir.Table:
    """One row per interval: the entity's keys, the figure that it counts for, first_day, end_day (exclusive; null: open), weight."""
    return rows.select(
        *keys,
        figure=ibis.literal(figure) if isinstance(figure, str) else figure,
        first_day=first_day.cast("int64"),
        end_day=ibis.null("int64") if end_day is None else end_day.cast("int64"),
        weight=(ibis.literal(weight) if isinstance(weight, int) else weight).cast("int64"),
    )


def earlier(day: ir.IntegerValue, other: ir.IntegerValue) -> ir.IntegerValue:
    """The earlier of two days, of which null is never."""
    return ibis.least(day.fill_null(other), other.fill_null(day))


def day_table(days: DayRange, first: int = 0) -> ir.Table:
    """The days of the range: day (its index, that of the first being `first`), metric_date."""
    return ibis.memtable(
        {"day": range(first, first + len(days)), "metric_date": list(days)},
        schema={"day": "int64", "metric_date": "date"},
    )


@dataclass(frozen=True)
class Moments:
    """When something happened, by entity and day of a range; rows: the keys, day, and `first` and `last`, columns of instants.

    A day may lie before the range.
    """

    rows: ir.Table
    first: str
    last: str


def counts_by_day(pieces: Sequence[ir.Table], entities: ir.Table, figures: Sequence[str], days: DayRange) -> ir.Table:
    """The sum of the weights of the intervals that cover a day; grain: one row per entity and day of the range.

    entities: distinct keys, one row each. Columns: the keys, day, metric_date and each figure (0 where nothing counts).
    """
    return on_each_day(counts_by_stretch(pieces, entities, figures, days), days, days)


def counts_by_stretch(
    pieces: Sequence[ir.Table],
    entities: ir.Table,
    figures: Sequence[str],
    days: DayRange,
    moments: Moments | None = None,
) -> ir.Table:
    """The same by stretches of days on which nothing changes; grain: entity and first day of a stretch.

    Columns: the keys, day, until (exclusive), and each figure; with moments also the first and the last up to the day.
    """
    keys = entities.columns
    steps = _steps(ibis.union(*pieces, distinct=False) if len(pieces) > 1 else pieces[0], len(days))
    # Every entity has a first day; further days of its own only where something changes.
    nothing = {"figure": ibis.null("string"), "weight": ibis.literal(0, "int64")}
    changes = [steps, entities.mutate(day=ibis.literal(0, "int64"), **nothing).select(steps.columns)]
    extremes = {}
    if moments is not None:
        at = {name: ibis.null(moments.rows[name].type()) for name in (moments.first, moments.last)}
        # What was before the range is of its first day.
        entered = moments.rows.mutate(day=ibis.greatest(moments.rows.day, 0).cast("int64"), **nothing)
        changes = [rows.mutate(at) for rows in changes]
        changes.append(entered.select(changes[0].columns))
    changed = ibis.union(*changes, distinct=False).semi_join(entities, keys)
    if moments is not None:
        extremes = {moments.first: changed[moments.first].min(), moments.last: changed[moments.last].max()}
    by_day = changed.group_by([*keys, "day"]).agg(
        **{name: changed.weight.sum(where=changed.figure == name).fill_null(0) for name in figures}, **extremes
    )
    running = ibis.window(group_by=keys, order_by="day", preceding=None, following=0)
    sums = {name: by_day[name].sum().over(running).cast("int64") for name in figures}
    if moments is not None:
        sums[moments.first] = by_day[moments.first].min().over(running)
        sums[moments.last] = by_day[moments.last].max().over(running)
    # One step with the sums, as the engine sorts once for each.
    next_day = by_day.day.lead().over(ibis.window(group_by=keys, order_by="day"))
    return by_day.mutate(**sums, until=next_day.fill_null(len(days)))


def on_each_day(stretches: ir.Table, days: DayRange, within: DayRange) -> ir.Table:
    """Stretches, whose days are indexes into `days`, day by day; grain: as before and day, for those of `within`.

    Columns: as before without until, and metric_date.
    """
    first = (within.first - days.first) // DAY
    touching = stretches.filter((stretches.day < first + len(within)) & (stretches.until > first))
    start, end = ibis.greatest(touching.day, first), ibis.least(touching.until, first + len(within))
    filled = touching.mutate(day=ibis.range(start, end).unnest()).drop("until")
    return filled.inner_join(day_table(within, first), "day").relocate("metric_date", after="day")


def _steps(pieces: ir.Table, size: int) -> ir.Table:
    """+weight where an interval enters the range, -weight where it ends inside it."""
    inside = pieces.mutate(first_day=ibis.greatest(pieces.first_day, 0)).filter(
        lambda t: (t.first_day < size) & (t.end_day.isnull() | (t.end_day > t.first_day))
    )
    starts = inside.drop("end_day").rename(day="first_day")
    ending = inside.filter(inside.end_day < size)
    ends = ending.mutate(weight=-ending.weight).drop("first_day").rename(day="end_day").select(starts.columns)
    return starts.union(ends, distinct=False)
