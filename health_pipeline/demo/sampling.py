"""Vectorised building blocks: the window of time, weighted draws, and columns of text."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
TimeArray = NDArray[np.datetime64]
DurationArray = NDArray[np.timedelta64]

_DAY = np.timedelta64(1, "D")
NEVER = np.datetime64("NaT", "us")


@dataclass(frozen=True)
class Window:
    """The days that get data: `days` UTC days, the newest of them `last_day`."""

    last_day: datetime.date
    days: int

    @property
    def start(self) -> np.datetime64:
        """00:00 of the first day."""
        return self.end - self.days * _DAY

    @property
    def end(self) -> np.datetime64:
        """00:00 of the day after the last one: every fact lies before it."""
        return np.datetime64(self.last_day + datetime.timedelta(days=1), "us")

    @property
    def weekdays(self) -> IntArray:
        """Weekday of each day, 0 = Monday."""
        return (self.last_day.weekday() - np.arange(self.days)[::-1]) % 7

    def day_of(self, times: TimeArray, never: int) -> IntArray:
        """Number of the day each time falls on, 0 = the first day of the window; `never` for NaT."""
        known = np.where(np.isnat(times), self.start, times)
        return np.where(np.isnat(times), never, (known - self.start) // _DAY)


def quota(rng: np.random.Generator, weights: Sequence[float] | FloatArray, size: int) -> IntArray:
    """`size` indices into `weights` in random order, in which each has its exact share, give or take one."""
    bounds = np.cumsum(weights) / np.sum(weights)
    indices: IntArray = np.searchsorted(bounds, (np.arange(size) + 0.5) / size, side="right")
    return rng.permutation(indices)


def pick(rng: np.random.Generator, weights: Sequence[float] | FloatArray, size: int) -> IntArray:
    """`size` independent indices into `weights`, drawn by weight."""
    bounds = np.cumsum(weights) / np.sum(weights)
    return np.searchsorted(bounds, rng.random(size), side="right")


def ranges(starts: IntArray, counts: IntArray) -> IntArray:
    """The numbers start, start + 1, … (count of them) of each pair, one pair after the other."""
    offsets = starts - (np.cumsum(counts) - counts)
    numbers: IntArray = np.arange(counts.sum()) + np.repeat(offsets, counts)
    return numbers


def span(days: FloatArray) -> DurationArray:
    """A length of time from (fractional) days."""
    return (days * 86_400_000_000).astype(np.int64).astype("timedelta64[us]")


def time_of_day(rng: np.random.Generator, size: int) -> DurationArray:
    """Times since midnight, most of them in office hours, none before 05:00 or after 21:00."""
    return span(np.clip(rng.normal(13.0, 2.9, size), 5.0, 21.0) / 24)


def before(times: TimeArray, limit: TimeArray) -> TimeArray:
    """`times`, with NaT for what has not happened before `limit`."""
    return np.where(times < limit, times, NEVER)


def words(values: Sequence[str | None], index: IntArray) -> pa.Array:
    """Text column: `values[i]` for every i of `index`."""
    return pa.array(values, pa.string()).take(pa.array(index))


def numbered(prefix: str, numbers: IntArray, width: int) -> pa.Array:
    """Identifiers: the prefix and the zero-padded number."""
    digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), width, "0")
    return pc.binary_join_element_wise(prefix, digits, "")


def masked(values: pa.Array | NDArray[np.generic], is_null: BoolArray) -> pa.Array:
    """The column with null where `is_null`."""
    column = values if isinstance(values, pa.Array) else pa.array(values)
    return pc.if_else(pa.array(is_null), pa.scalar(None, column.type), column)
