"""Which faults are done, how often, and when in a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from reliability import faults
from reliability.faults import SOURCE, STORAGE, WAREHOUSE
from reliability.full_disk import disk_without_room
from reliability.scene import Scene
from reliability.server import Shutdown
from reliability.stages import COMMITTING, COMPUTING, READING, WRITING
from reliability.trials import Trial

_MOST_CHANCES = 5
_BYTES_LEFT = 2**20
_CUTS = {SOURCE: 3, WAREHOUSE: 3, STORAGE: 2}


def kills(scene: Scene, tries: int, rng: np.random.Generator) -> Iterator[Trial]:
    """Every other one at any moment of the run's time; the others while it writes, and each fourth as it commits, which any
    moment would hardly ever hit."""
    for number in range(tries):
        yield _in_time(partial(_kill, scene, number, rng))


def _kill(scene: Scene, number: int, rng: np.random.Generator) -> Trial:
    if number % 2 == 0:
        return faults.killed_at_moment(scene, float(rng.uniform(0, scene.seconds)))
    if number % 4 == 1:
        return faults.killed_at_stage(scene, WRITING, skipped=int(rng.integers(6)), delay=float(rng.uniform(0, 0.3)))
    return faults.killed_at_stage(scene, COMMITTING, skipped=int(rng.integers(3)))


def restarts(scene: Scene, _: int, rng: np.random.Generator) -> Iterator[Trial]:
    def restart(mode: Shutdown, stage: str, seconds_down: float = 0.0) -> Trial:
        return faults.restarted(scene, mode, stage, skipped=int(rng.integers(3)), seconds_down=seconds_down)

    for stage in (READING, COMPUTING, WRITING):
        yield _in_time(partial(restart, "fast", stage))
        yield _in_time(partial(restart, "immediate", stage))
    yield _in_time(partial(restart, "fast", WRITING, 7.0))
    for stage in (COMPUTING, WRITING):
        yield _in_time(partial(faults.restarted_with_storage, scene, "immediate", stage))


def terminations(scene: Scene, _: int, rng: np.random.Generator) -> Iterator[Trial]:
    def terminate(of: str, stage: str) -> Trial:
        return faults.terminated(scene, of, stage, skipped=int(rng.integers(3)))

    for of, stage in ((SOURCE, READING), (SOURCE, COMPUTING), (SOURCE, WRITING), (WAREHOUSE, WRITING)):
        yield _in_time(partial(terminate, of, stage))


def cuts(scene: Scene, _: int, rng: np.random.Generator) -> Iterator[Trial]:
    """At any byte that a run's connections carry."""
    bounds = faults.bytes_of_runs(scene)

    def cut(of: str) -> Trial:
        return faults.cut_at_byte(scene, of, int(rng.integers(*bounds[of])))

    for of, tries in _CUTS.items():
        for _ in range(tries):
            yield _in_time(partial(cut, of))


def _in_time(do: Callable[[], Trial]) -> Trial:
    """The trial; one that came too late, as the run had ended, is done again."""
    for _ in range(_MOST_CHANCES):
        trial = do()
        if trial.had_effect:
            break
    return trial


def full_disks(scene: Scene, _: int, __: np.random.Generator) -> Iterator[Trial]:
    yield faults.files_too_large(scene, _BYTES_LEFT)
    if (trial := disk_without_room(scene, _BYTES_LEFT)) is not None:
        yield trial


def together(scene: Scene, _: int, __: np.random.Generator) -> Iterator[Trial]:
    yield faults.two_at_once(scene, is_one_killed=False)
    yield faults.two_at_once(scene, is_one_killed=True)


def changes(scene: Scene, _: int, __: np.random.Generator) -> Iterator[Trial]:
    yield faults.changing_source(scene)


Kind = Callable[[Scene, int, np.random.Generator], Iterator[Trial]]
KINDS: dict[str, Kind] = {
    "kills": kills,
    "restarts": restarts,
    "terminations": terminations,
    "cuts": cuts,
    "disk": full_disks,
    "together": together,
    "changes": changes,
}
"""By name: does all trials of a kind, given the number of kills and what says the moments."""
