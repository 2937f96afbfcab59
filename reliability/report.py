"""What was seen, as a Markdown table: a row per fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from reliability.trials import NEW, OLD, OTHER, Trial

_HEADER = (
    *("fault", "tries", "the run was", "went on by itself", "steps begun again", "left behind", "half seen, in looks"),
    *("all rows right after the next backfill", "seconds until then: median, most"),
)
_LEFT = {OLD: "old", NEW: "new", OTHER: "of the other source"}


def markdown(results: Sequence[Trial]) -> str:
    """The table, and below it whatever may not be."""
    names = dict.fromkeys(trial.fault for trial in results)
    rows = [_row(name, [trial for trial in results if trial.fault == name]) for name in names]
    lines = [_HEADER, ["---"] * len(_HEADER), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    problems = [f"- {trial.fault}, {trial.stage}: {problem}" for trial in results for problem in trial.problems]
    return "\n".join([table, *([""] if problems else []), *problems]) + "\n"


def _row(name: str, trials: Sequence[Trial]) -> list[str]:
    stages = Counter(trial.stage for trial in trials)
    left = Counter(state for trial in trials for state in trial.left.values())
    right = sum(not trial.problems for trial in trials)
    seconds = [trial.seconds for trial in trials]
    half = sum(problem.startswith("a reader saw") for trial in trials for problem in trial.problems)
    return [
        name,
        str(len(trials)),
        ", ".join(f"{stage} {count}" if len(trials) > 1 else stage for stage, count in stages.most_common()),
        f"{sum(trial.went_on for trial in trials)} of {len(trials)}",
        str(sum(trial.retries for trial in trials)),
        ", ".join(f"{left[state]} {text}" for state, text in _LEFT.items() if left[state]),
        f"{half} in {sum(trial.looks for trial in trials)}",
        f"{right} of {len(trials)}",
        f"{median(seconds):.0f}, {max(seconds):.0f}",
    ]
