"""Active users, from the days of logins as bits, against the rule in plain words."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import ibis
from hypothesis import example, given, settings
from hypothesis import strategies as st

from health_pipeline.days import DAY, Calendar, DayRange
from health_pipeline.metrics.events import as_daily_events, daily_events, settled_logins
from health_pipeline.metrics.login_days import active_users
from health_pipeline.metrics.steps import WINDOW_DAYS, Steps
from health_pipeline.sources.engine import new_engine

LAST = date(2024, 3, 31)  # clocks go forward in Berlin
BERLIN = Calendar("Europe/Berlin")
MOST_DAYS = 100
TENANT_OF = {"u": "a", "v": "a", "w": "b", **{f"u{number}": f"t{number // 3}" for number in range(9)}}
EVENTS = {
    **dict.fromkeys(("tenant_id", "user_id", "event_type", "feature_key"), "string"),
    "occurred_at": "timestamp(6)",
}
SEATS = {"tenant_id": "string", "user_id": "string", "created_day": "int64", "deactivated_day": "int64"}


# To put a query together takes longest, so each looks at many users.
@settings(deadline=None, max_examples=60)
@given(
    length=st.integers(1, MOST_DAYS),
    lives=st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            TENANT_OF, st.tuples(st.integers(-40, MOST_DAYS), st.none() | st.integers(-20, MOST_DAYS + 5))
        ),
    ),
    logins=st.fixed_dictionaries(dict.fromkeys(TENANT_OF, st.lists(st.integers(0, (MOST_DAYS + 45) * 24)))),
    types=st.sampled_from([("login", None), ("login", "X"), ("page_view", None)]),
    is_aside=st.booleans(),
)
@example(length=1, lives={"u": (-40, None)}, logins={"u": [29 * 24 + 23]}, types=("login", None), is_aside=True)
@example(length=1, lives={"u": (-40, None)}, logins={"u": [30 * 24 + 23]}, types=("login", "X"), is_aside=False)
@example(
    length=100,
    lives={"w": (3, 90)},
    logins={"w": list(range(0, 3400, 700))},
    types=("login", None),
    is_aside=True,
)
def test_active_users_are_counted_as_the_rule_says(
    length: int,
    lives: dict[str, tuple[int, int | None]],
    logins: dict[str, list[int]],
    types: tuple[str, str | None],
    is_aside: bool,
) -> None:
    """lives: from and until which day of the range a user may log in. logins: hours before the end of the last day. is_aside:
    whether logins that use no feature are counted as a source does, by instants with a zone."""
    days = DayRange(LAST - timedelta(days=length - 1), LAST)
    steps = Steps.of(days, 1)
    kind, feature = types
    instants = [
        (user, BERLIN.end(LAST) - timedelta(hours=hours, microseconds=1)) for user in logins for hours in logins[user]
    ]
    events = ibis.memtable(
        [(TENANT_OF[user], user, kind, feature, when.replace(tzinfo=None)) for user, when in instants], schema=EVENTS
    )
    seats = ibis.memtable([(TENANT_OF[user], user, *life) for user, life in lives.items()], schema=SEATS)
    engine = new_engine()
    if is_aside and types == ("login", None):
        of_source = events.mutate(occurred_at=events.occurred_at.cast("timestamp('UTC')"))
        counts = as_daily_events(settled_logins(of_source, BERLIN, steps), steps)
    else:
        counts = daily_events(events, BERLIN, days, steps)
    found = engine.to_pyarrow(active_users(counts, seats, steps, days)).to_pylist()
    engine.disconnect()
    assert {(row["tenant_id"], row["day"]): (row["active_users"], row["daily_active_users"]) for row in found} == (
        counted(days, lives, instants if kind == "login" else [])
    )


def counted(
    days: DayRange, lives: dict[str, tuple[int, int | None]], logins: list[tuple[str, datetime]]
) -> dict[tuple[str, int], tuple[int, int]]:
    """The same, one day and user after the other."""
    result: dict[tuple[str, int], tuple[int, int]] = {}
    for index, day in enumerate(days):
        for user, (first, until) in lives.items():
            if first <= index and (until is None or index < until):
                own = {BERLIN.day_of(when.replace(tzinfo=UTC)) for name, when in logins if name == user}
                if any(day - WINDOW_DAYS * DAY < login <= day for login in own):
                    key = (TENANT_OF[user], index)
                    active, daily = result.get(key, (0, 0))
                    result[key] = (active + 1, daily + (day in own))
    return result
