"""The faults, each done to one backfill."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from reliability.commands import Backfill
from reliability.databases import end_connections
from reliability.proxy import CuttingProxy
from reliability.scene import Scene
from reliability.server import Shutdown
from reliability.stages import COMPUTING, ENDED, READING, WRITING, Watch, started_runs
from reliability.trials import Fault, Trial, tried

SETTINGS = {
    "source": "HEALTH_SOURCE_URL",
    "warehouse": "HEALTH_WAREHOUSE_URL",
    "Dagster's storage": "HEALTH_DAGSTER_URL",
}
SOURCE, WAREHOUSE, STORAGE = SETTINGS

Harm = Callable[[Backfill], str]
Do = Callable[[Backfill], object]


def killed_at_moment(scene: Scene, seconds: float) -> Trial:
    """SIGKILL so many seconds after the start."""

    def harm(run: Backfill) -> str:
        while run.is_running and time.monotonic() < run.began + seconds:
            time.sleep(0.01)
        with _watch(scene) as watch:
            stage = watch.stage(run)
            run.kill()
        return stage

    return tried(scene, Fault("SIGKILL", harm))


def killed_at_stage(scene: Scene, stage: str, *, skipped: int = 0, delay: float = 0.0) -> Trial:
    """SIGKILL while the run does that, for so many seconds."""
    return tried(scene, Fault("SIGKILL", _at_stage(scene, stage, Backfill.kill, skipped=skipped, delay=delay)))


def restarted(scene: Scene, mode: Shutdown, stage: str, *, skipped: int = 0, seconds_down: float = 0.0) -> Trial:
    """The server of source and warehouse goes down, and comes back so many seconds later."""
    harm = _at_stage(scene, stage, lambda _: scene.victim.restart(mode, seconds_down), skipped=skipped)
    down = f", down for {seconds_down:g} s" if seconds_down else ""
    return tried(scene, Fault(f"source and warehouse restarted ({mode}{down})", harm, must_go_on=True))


def restarted_with_storage(scene: Scene, mode: Shutdown, stage: str, *, skipped: int = 0) -> Trial:
    """The one server of source, warehouse and Dagster's storage is restarted, as the embedded one may be."""
    together = replace(scene, dagster=scene.victim.url("dagster"))
    harm = _at_stage(together, stage, lambda _: scene.victim.restart(mode), skipped=skipped)
    return tried(together, Fault(f"the only server, with Dagster's storage, restarted ({mode})", harm))


def terminated(scene: Scene, of: str, stage: str, *, skipped: int = 0) -> Trial:
    """An administrator terminates the run's connections to the source or the warehouse."""
    url = scene.source if of == SOURCE else scene.warehouse
    harm = _at_stage(scene, stage, lambda _: end_connections(url), skipped=skipped)
    return tried(scene, Fault(f"connections to the {of} terminated", harm, must_go_on=True))


def cut_at_byte(scene: Scene, of: str, at_byte: int) -> Trial:
    """The TCP connection to one of the databases is reset with that byte."""
    with CuttingProxy(_urls(scene)[of], at_byte) as proxy:

        def harm(run: Backfill) -> str:
            with _watch(scene) as watch:
                while run.is_running and not proxy.cuts:
                    stage = watch.stage(run)
                    time.sleep(0.005)
            return stage if proxy.cuts else ENDED

        name = f"TCP connection to {'' if of == STORAGE else 'the '}{of} reset"
        return tried(scene, Fault(name, harm, {SETTINGS[of]: proxy.url}, must_go_on=of != STORAGE))


def bytes_of_runs(scene: Scene) -> dict[str, tuple[int, int]]:
    """Between which bytes of its connections to each database a backfill has its runs: before them, it only looks about."""
    scene.restore()
    urls = _urls(scene)
    with (
        CuttingProxy(urls[SOURCE]) as source,
        CuttingProxy(urls[WAREHOUSE]) as warehouse,
        CuttingProxy(urls[STORAGE]) as storage,
    ):
        proxies = {SOURCE: source, WAREHOUSE: warehouse, STORAGE: storage}
        run = scene.backfill(**{SETTINGS[of]: proxy.url for of, proxy in proxies.items()})
        while run.is_running and not started_runs(scene.dagster):
            time.sleep(0.02)
        first = {of: proxy.bytes_passed for of, proxy in proxies.items()}
        run.wait()
        return {of: (first[of], proxy.bytes_passed) for of, proxy in proxies.items()}


def files_too_large(scene: Scene, limit: int) -> Trial:
    """A quota: no file of the warehouse may grow beyond so many bytes."""

    def harm(_: Backfill) -> str:
        scene.victim.limit_file_size(limit)
        return WRITING

    return tried(
        scene,
        Fault("quota on the warehouse's files", harm, mend=lambda: scene.victim.limit_file_size(None), must_fail=True),
    )


def two_at_once(scene: Scene, *, is_one_killed: bool) -> Trial:
    """A second backfill of the same days; where one is killed, then while it writes, with the other one behind it."""
    others: list[Backfill] = []

    def harm(run: Backfill) -> str:
        others.append(scene.backfill())
        stage = "all of it"
        if is_one_killed:
            stage = _at_stage(scene, WRITING, Backfill.kill, delay=0.05)(run)
        if others[0].wait():
            raise RuntimeError(f"the other backfill failed: {others[0].output[-2000:]}")
        return stage

    name = "two backfills of the same days at once" + (", one of them killed" if is_one_killed else "")
    return tried(scene, Fault(name, harm, must_go_on=not is_one_killed))


def changing_source(scene: Scene) -> Trial:
    """Transactions change eleven tables of the source back and forth, as fast as they can, until the backfill has ended."""

    def harm(run: Backfill) -> str:
        changes, seen = 0, 0
        with _watch(scene) as watch:
            while run.is_running or changes % 2:
                was_reading = watch.stage(run) in (READING, COMPUTING)
                scene.shift_source(+1 if changes % 2 else -1)
                changes += 1
                seen += was_reading and watch.stage(run) in (READING, COMPUTING)
        return f"{seen} changes while it read" if seen else ENDED

    return tried(scene, Fault("source changes while it is read", harm, must_go_on=True, source_changes=True))


def _at_stage(scene: Scene, stage: str, do: Do, *, skipped: int = 0, delay: float = 0.0) -> Harm:
    """Does it so many seconds after the run has come to the stage, having left it `skipped` times before."""

    def harm(run: Backfill) -> str:
        with _watch(scene) as watch:
            found = stage if watch.until(run, stage, skipped=skipped) else ENDED
            if delay and found != ENDED:
                time.sleep(delay)
                found = watch.stage(run)
            if found != ENDED:
                do(run)
        return found

    return harm


def _watch(scene: Scene) -> Watch:
    return Watch(scene.source, scene.warehouse, scene.dagster)


def _urls(scene: Scene) -> dict[str, str]:
    return {SOURCE: scene.source, WAREHOUSE: scene.warehouse, STORAGE: scene.dagster}
