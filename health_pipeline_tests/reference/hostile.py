"""Hostile source data: random but seeded, aimed at every edge that the specification names."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import date, datetime

from health_pipeline_tests.reference import hostile_faults, hostile_tenants, hostile_traps
from health_pipeline_tests.reference.contract import ALWAYS, OPTIONAL_TABLES, Source
from health_pipeline_tests.reference.hostile_scene import Scene


def hostile_source(
    seed: int,
    *,
    tenants: int = 25,
    days: tuple[date, date],
    zone: str = "UTC",
    clock: datetime,
    optional: Iterable[str] = OPTIONAL_TABLES,
    faults: bool = True,
) -> Source:
    """Source rows around the days first to last, with every column of the contract in each row.

    `optional` names the optional tables to include. Without `faults` no row is bad at `clock`; with them at most nine
    rows of a table are, so that the run goes on whatever their share.
    """
    scene = Scene(random.Random(seed), days[0], days[1], zone, clock, {*ALWAYS, *optional})
    hostile_tenants.add_tenants(scene, tenants, seed)
    for trap in hostile_traps.TRAPS:
        trap(scene)
    if faults:
        for fault in hostile_faults.FAULTS:
            fault(scene)
    for rows in scene.source.values():
        scene.rng.shuffle(rows)
    return scene.source
