"""A process of its own for one kind of run, so that its memory is its own: `python -m benchmarks.worker KIND PLAN`.

For each line that it gets it makes a run, and prints a line with what that took (Measured as JSON).
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
    runs = _runs(kind, plan, clock)
    for _ in sys.stdin:
        rows = next(runs)
        costs, clock.costs = clock.costs, {}
        wall, cpu = (sum(cost[name] for cost in costs.values()) for name in ("wall", "cpu"))
        sys.stdout.write(json.dumps(asdict(Measured(wall, cpu, costs, rows))) + "\n")
        sys.stdout.flush()


def _runs(kind: str, plan: Plan, clock: StageClock) -> Iterator[dict[str, int]]:
    """Endless runs, one by one, each with the rows that it read or wrote by table."""
    match kind:
        case "pipeline":
            from benchmarks.pipeline import pipeline_runs

            yield from pipeline_runs(plan, clock)
        case "floor":
            from benchmarks.peers.floor import run_floor

            while True:
                yield run_floor(plan, clock)
        case "SQL":
            from benchmarks.peers.handwritten import run_handwritten

            while True:
                yield run_handwritten(plan, clock)
        case _:
            raise ValueError(kind)


if __name__ == "__main__":
    main()
