"""One fault done to one backfill, and what was seen of it: then, right after, and once the next backfill has run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from health_pipeline.tables.records import SCORE_RESTATEMENTS
from reliability.commands import Backfill
from reliability.contents import BROKEN, COMPUTED, RECORDED, contents, differences, states
from reliability.readers import Reader
from reliability.scene import Scene
from reliability.stages import ENDED, count_in, started_runs

OLD, NEW, OTHER = "old", "new", "other"


@dataclass(frozen=True)
class Fault:
    """How a backfill is disturbed.

    harm: does it to a backfill that has just begun, and returns what that was doing then (ENDED: it came too late). settings:
    of the disturbed backfill. mend: what an operator does before the next one. must_go_on: it has to come to a good end by
    itself; must_fail: it can't. source_changes: the source is at times the other one, so that the next backfill may restate
    scores, which no version of the contents has.
    """

    name: str
    harm: Callable[[Backfill], str]
    settings: dict[str, str] = field(default_factory=dict)
    mend: Callable[[], Any] = lambda: None
    must_go_on: bool = False
    must_fail: bool = False
    source_changes: bool = False
    tablespace: str = "pg_default"

    @property
    def compared(self) -> tuple[str, ...]:
        """The tables that must be as in one of the versions."""
        left_out = {SCORE_RESTATEMENTS.name} if self.source_changes else set()
        return tuple(name for name in (*COMPUTED, *RECORDED) if name not in left_out)


@dataclass
class Trial:
    """What was seen.

    stage: what the run was doing. exit_code: of the backfill that was disturbed, negative where it was killed. said: its last
    line, if it failed. retries: how often one of its steps was begun again. left: by step, how its tables stood after it.
    looks: those of a reader meanwhile. seconds: from the fault until all rows were new. problems: what may not be.
    """

    fault: str
    stage: str = ""
    exit_code: int = 0
    said: str = ""
    retries: int = 0
    left: dict[str, str] = field(default_factory=dict)
    looks: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def had_effect(self) -> bool:
        return self.stage != ENDED

    @property
    def went_on(self) -> bool:
        """Whether the backfill came to a good end by itself."""
        return self.exit_code == 0


def tried(scene: Scene, fault: Fault) -> Trial:
    """Do it once, then let the next backfill run."""
    trial = Trial(fault.name)
    scene.restore(fault.tablespace)
    versions = {OLD: scene.before, NEW: scene.after} | ({OTHER: scene.other} if fault.source_changes else {})
    with Reader(scene.warehouse, versions, fault.compared) as reader:
        run = scene.backfill(**fault.settings)
        trial.stage = fault.harm(run)
        harmed = time.monotonic()
        trial.exit_code = run.wait()
        trial.seconds = time.monotonic() - harmed
        trial.said = "" if trial.went_on else run.output.strip().rpartition("\n")[2]
        alone = scene.seconds_until_alone()
        trial.left = states(contents(scene.warehouse, fault.compared), versions, fault.compared)
        trial.retries = count_in(scene.dagster, "event_logs", "dagster_event_type = 'STEP_RESTARTED'")
        trial.problems += _problems(trial, fault, is_alone=alone is not None)
        fault.mend()
        trial.problems += _next_backfill(scene, fault)
        if not trial.went_on:
            trial.seconds = time.monotonic() - harmed
    trial.looks = reader.looks
    trial.problems += [f"a reader saw {what}" for what in sorted(reader.seen)]
    return trial


def _problems(trial: Trial, fault: Fault, *, is_alone: bool) -> Iterator[str]:
    """What may not be once the disturbed backfill has ended."""
    if not is_alone:
        yield "its connections, and so its locks, are still there"
    for step, state in trial.left.items():
        if state == BROKEN:
            yield f"half of {step} is left"
        if trial.went_on and state == OLD:
            yield f"it said that all went well, but {step} is not written"
    if fault.must_go_on and not trial.went_on:
        yield f"it did not go on by itself: {trial.said}"
    if fault.must_fail and trial.went_on:
        yield "it should have failed"


def _next_backfill(scene: Scene, fault: Fault) -> Iterator[str]:
    """Run it; what may not be then."""
    run = scene.backfill()
    if run.wait():
        yield f"the next backfill failed: {run.output[-500:]}"
    yield from differences(contents(scene.warehouse, fault.compared), scene.after, fault.compared)
    if started := started_runs(scene.dagster):
        yield f"{started} runs count as running, though none does"
    if scene.seconds_until_alone() is None:
        yield "connections are still there after the next backfill"
