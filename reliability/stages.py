"""What a run is doing at this moment, as its databases see it."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

import psycopg2

from reliability.commands import Backfill
from reliability.databases import OURS, execute, name_of, sibling

READING, COMPUTING, WRITING, COMMITTING, CHECKING = "reading", "computing", "writing", "committing", "checking"
STARTING, RECORDING, ENDED = "starting", "recording", "ended"
STAGES = (STARTING, READING, COMPUTING, WRITING, COMMITTING, CHECKING, RECORDING, ENDED)

# A run that writes holds the locks of its tables from the first of them to the end of its transaction. Before, it migrates, under
# a lock and with a commit of its own.
_SEEN = """
SELECT
    bool_or(holds AND state = 'active' AND query LIKE 'COMMIT%%'),
    bool_or(holds),
    bool_or(datname = %(source)s AND state = 'active'),
    bool_or(datname = %(warehouse)s),
    bool_or(datname = %(source)s)
FROM (
    SELECT
        *,
        datname = %(warehouse)s
        AND EXISTS (
            SELECT FROM pg_locks AS l
            WHERE l.pid = a.pid AND locktype = 'advisory' AND granted
                AND objid::int8 <> hashtext('migrate') & 4294967295
        ) AS holds
    FROM pg_stat_activity AS a
    WHERE datname IN (%(source)s, %(warehouse)s) AND application_name <> %(ours)s
        AND backend_type = 'client backend'
) AS seen
"""


class Watch:
    """Looks at a run's connections to its source and warehouse, which are on one server, many times a second."""

    def __init__(self, source: str, warehouse: str, dagster: str) -> None:
        self._names = {"source": name_of(source), "warehouse": name_of(warehouse), "ours": OURS}
        self._server, self._dagster = sibling(warehouse, "postgres"), dagster
        self._has_begun = False

    def __enter__(self) -> Self:
        self._connection: Any = psycopg2.connect(self._server, application_name=OURS)
        self._connection.autocommit = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    def stage(self, run: Backfill) -> str:
        """One of STAGES. A backfill only looks about in its databases until it begins its first run in Dagster."""
        if not run.is_running:
            return ENDED
        self._has_begun = self._has_begun or started_runs(self._dagster) > 0
        if not self._has_begun:
            return STARTING
        with self._connection.cursor() as cursor:
            cursor.execute(_SEEN, self._names)
            seen = cursor.fetchone()
        stages = (COMMITTING, WRITING, READING, CHECKING, COMPUTING)
        return next((stage for stage, is_so in zip(stages, seen, strict=True) if is_so), RECORDING)

    def until(self, run: Backfill, stage: str, *, skipped: int = 0) -> bool:
        """Wait for the run to come to the stage, after having left it so often; False if it never does."""
        was_there = False
        while run.is_running:
            is_there = self.stage(run) == stage
            if is_there and not skipped:
                return True
            skipped -= was_there and not is_there
            was_there = is_there
            time.sleep(0 if stage == COMMITTING else 0.005)
        return False


def started_runs(dagster: str) -> int:
    """How many runs Dagster holds to be going on."""
    return count_in(dagster, "runs", "status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')")


def count_in(dagster: str, table: str, condition: str) -> int:
    """How many rows of a table of Dagster's storage there are, also where no backfill has yet made it."""
    ((name,),) = execute(dagster, f"SELECT to_regclass('{table}')")
    if name is None:
        return 0
    ((count,),) = execute(dagster, f"SELECT count(*) FROM {table} WHERE {condition}")
    return int(count)
