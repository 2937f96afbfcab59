"""The days on which a user logged in, as bits of whole numbers: one row tells of all logins of a user, however many there are.

Bit n % 62 of word n // 62 stands for the day n days after the first step. Rule: tenant-health.md, `usage_metrics`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import ibis
import ibis.expr.types as ir

from health_pipeline.days import DAY, Calendar, DayRange
from health_pipeline.metrics.steps import WINDOW_DAYS, Steps

LOGIN = "login"
# A signed number of 64 bits stays positive with these, in every engine.
_BITS = 62
_WORD = "login_days_{}"
ACTIVE_USERS = ("active_users", "daily_active_users")


def words(steps: Steps) -> list[str]:
    """The columns that hold the bits."""
    return [_WORD.format(number) for number in range(_offset(steps, steps.days[-1]) // _BITS + 1)]


def bits_of_logins(events: ir.Table, calendar: Calendar, steps: Steps) -> dict[str, ir.IntegerColumn]:
    """Of each event the bit of its day in the word that has it, if it is a login; else null."""
    is_login, none = events.event_type == LOGIN, ibis.null("int64")
    bits = {}
    for number, name in enumerate(words(steps)):
        of_step = [_word_of(1 << _offset(steps, step), number) for step in steps.days]
        values = [ibis.literal(bit, "int64") if bit else none for bit in of_step]
        bits[name] = ibis.cases((is_login, steps.chosen(events.occurred_at, calendar, values, none)), else_=none)
    return bits


def active_users(events: ir.Table, seats: ir.Table, steps: Steps, days: DayRange) -> ir.Table:
    """How many users of a tenant are active; grain: tenant_id and day (an index into the range) with any active user.

    active_users: who logged in within the 30 days that end with the day, and may on it; daily_active_users: on the day.
    events: with the `words` of the steps. seats: tenant_id, user_id, created_day, deactivated_day (indexes; null: never).
    """
    names, keys = words(steps), ["tenant_id", "user_id"]
    logins = events.filter((events.event_type == LOGIN) & events.user_id.notnull())
    of_user = logins.group_by(keys).agg(**{name: logins[name].bit_or().fill_null(0) for name in names})
    of_seat = of_user.inner_join(seats, keys)
    # Each with each, as the engine would look up the few days among all users' days.
    on_days = of_seat.cross_join(_masks(steps, days))
    may_log_in = (on_days.created_day <= on_days.day) & (on_days.day < on_days.deactivated_day).fill_null(True)
    active = on_days.filter(may_log_in & _has_any(on_days, names, "window"))
    return active.group_by(["tenant_id", "day"]).agg(
        active_users=active.count(), daily_active_users=_has_any(active, names, "day").sum()
    )


def _has_any(rows: ir.Table, names: Iterable[str], mask: str) -> ir.BooleanValue:
    return ibis.or_(*((rows[name] & rows[f"{mask}_{name}"]) != 0 for name in names))


def _masks(steps: Steps, days: DayRange) -> ir.Table:
    """The bits of each day of the range and of the window that ends with it; grain: day (its index)."""
    names = words(steps)
    rows = []
    for index, day in enumerate(days):
        last = _offset(steps, day)
        window = sum(1 << bit for bit in range(last - WINDOW_DAYS + 1, last + 1))
        row = {"day": index}
        for number, name in enumerate(names):
            row[f"day_{name}"] = _word_of(1 << last, number)
            row[f"window_{name}"] = _word_of(window, number)
        rows.append(row)
    columns = ["day", *(f"{mask}_{name}" for name in names for mask in ("day", "window"))]
    return ibis.memtable(rows, schema=dict.fromkeys(columns, "int64"))


def _word_of(bits: int, number: int) -> int:
    return (bits >> (number * _BITS)) & ((1 << _BITS) - 1)


def _offset(steps: Steps, day: date) -> int:
    return (day - steps.days[0]) // DAY
