"""A process of its own for one kind of run, so that its memory is its own: `python -m benchmarks.worker KIND PLAN`.

It prints a JSON list with a Measured per repeat.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict

from benchmarks.measuring.processes import cpu_seconds
from benchmarks.measuring.stages import StageClock
from benchmarks.plan import Measured, Plan


def main() -> None:
    """Measure what the arguments say."""
    kind, plan = sys.argv[1], Plan(**json.loads(sys.argv[2]))
    clock = StageClock(lambda: time.process_time() + cpu_seconds(plan.postmaster))
    measured = []
    for rows in _runs(kind, plan, clock):
        costs, clock.costs = clock.costs, {}
        wall, cpu = (sum(cost[name] for cost in costs.values()) for name in ("wall", "cpu"))
        measured.append(asdict(Measured(wall, cpu, costs, rows)))
    sys.stdout.write(json.dumps(measured))


def _runs(kind: str, plan: Plan, clock: StageClock) -> Iterator[dict[str, int]]:
    """The runs, one by one, each with the rows that it read or wrote by table."""
    match kind:
        case "pipeline":
            from benchmarks.pipeline import pipeline_runs

            yield from pipeline_runs(plan, clock)
        case "floor":
            from benchmarks.peers.floor import run_floor

            yield from (run_floor(plan, clock) for _ in range(plan.repeats))
        case "SQL":
            from benchmarks.peers.handwritten import run_handwritten

            yield from (run_handwritten(plan, clock) for _ in range(plan.repeats))
        case _:
            raise ValueError(kind)


if __name__ == "__main__":
    main()
