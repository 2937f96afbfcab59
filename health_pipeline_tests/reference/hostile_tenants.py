"""The tenants of the hostile source: cohorts of telling sizes, unknown sectors and sizes, lives that end at edges."""

from __future__ import annotations

from datetime import datetime, timedelta

from health_pipeline_tests.reference.calendar import MICROSECOND
from health_pipeline_tests.reference.hostile_scene import Scene

UNKNOWN = "unknown"
UNKNOWN_SECTORS = (None, "", "  ", "\u00a0", "\t\n", "\u3000 ", "ALL")
UNKNOWN_SIZES = (None, 0, -3)
# Every band's two ends.
BANDS = {
    "A": (1, 49),
    "B": (50, 249),
    "C": (250, 999),
    "D": (1000, 4999),
    "E": (5000, 2_000_000),
    UNKNOWN: UNKNOWN_SIZES,
}

# (sector, band, how many tenants). Each layout is made for one rule of the suppression.
LAYOUTS: tuple[tuple[tuple[str, str, int], ...], ...] = (
    # Extremes from 10 peers on, cohorts below 5, one hidden child beside published ones.
    (("Retail", "A", 6), ("Retail", "B", 4), ("Health", "A", 5), ("Health", "C", 4), ("Energy", "A", 4)),
    # A single small sector, found by subtraction unless a sibling goes too; equal siblings, told apart by code point.
    (("\U0001f680", "A", 5), ("\uff5e", "A", 5), ("Zeta", "B", 5), ("alpha", "B", 4)),
    # Step 5: Small × ALL = (ALL × A) + (ALL × B) − (Large × ALL) + (Large × D).
    (("Small", "A", 2), ("Small", "B", 2), ("Large", "A", 3), ("Large", "B", 3), ("Large", "D", 6), (UNKNOWN, "D", 9)),
    # Nine and ten peers in all, and in one sector.
    (("Nine", "E", 9), ("Ten", "E", 5), ("Ten", "D", 5)),
    # A remainder of 5 and more that is exactly one hidden child, with both dimensions in play.
    (("Retail", "A", 5), ("Retail", "B", 5), ("Food", "A", 5), ("Food", "B", 3), ("Oil", "B", 3), (UNKNOWN, "B", 2)),
    # Sectors that differ by case and spaces only.
    (("Retail", "A", 5), ("retail", "A", 5), (" Retail", "A", 5), ("all", "C", 6), (UNKNOWN, UNKNOWN, 3)),
    # A full grid of small cells.
    (("P", "A", 3), ("P", "B", 3), ("P", "C", 3), ("Q", "A", 3), ("Q", "B", 3), ("Q", "C", 3), ("R", "A", 5)),
)
STEP_FIVE_LAYOUT = 2

ROLES = ("edges", "half_up", "path_low", "path_middle", "path_high", "empty")
"""The first tenants' roles; all others are "noise"."""
ALERT_LEVELS = ("NONE", "DASHBOARD_ONLY", "PROACTIVE", "PROACTIVE", "proactive", "LOUD", "", None)


def add_tenants(scene: Scene, tenants: int, seed: int) -> None:
    """The tenants of a layout; those beyond it, and in every other round of seeds some others, come and go at edges."""
    round_of_seeds, n_layout = divmod(seed, len(LAYOUTS))
    layout = LAYOUTS[n_layout]
    places = [(sector, band) for sector, band, count in layout for _ in range(count)]
    scene.rng.shuffle(places)
    sectors = sorted({sector for sector, _, _ in layout} | {UNKNOWN})
    for n in range(tenants):
        role = ROLES[n] if n < len(ROLES) else "noise"
        is_extra = n >= len(places)
        sector, band = (scene.rng.choice(sectors), scene.rng.choice(sorted(BANDS))) if is_extra else places[n]
        is_restless = role == "noise" and round_of_seeds % 2 == 1 and scene.rng.random() < 0.2
        created_at, deactivated_at = life(scene) if is_extra or is_restless else (scene.long_ago, None)
        add_tenant(scene, role, sector, band, created_at, deactivated_at)


def add_tenant(
    scene: Scene, role: str, sector: str, band: str, created_at: datetime, deactivated_at: datetime | None
) -> None:
    """One tenant of a sector and a size band, at one of the band's ends."""
    tenant_id = scene.new_id("tenants")
    is_added = scene.add(
        "tenants",
        tenant_id=tenant_id,
        name=scene.rng.choice(["", "Same name", tenant_id, "\U0001f680 \u00e9\u0301 'n' \"co\""]),
        slug=scene.rng.choice(["", None, tenant_id]),
        industry_sector=scene.rng.choice(UNKNOWN_SECTORS) if sector == UNKNOWN else sector,
        employee_count=scene.rng.choice(BANDS[band]),
        renewal_date=scene.rng.choice([None, scene.last, scene.last + timedelta(days=9000), scene.first]),
        alert_level=scene.rng.choice(ALERT_LEVELS),
        created_at=created_at,
        deactivated_at=deactivated_at,
    )
    if is_added:
        scene.roles.setdefault(role, []).append(tenant_id)


def life(scene: Scene) -> tuple[datetime, datetime | None]:
    """Creation and deactivation at edges: comes, goes, comes and goes, goes at once, has long gone, will go."""
    early, late = sorted(scene.rng.sample(scene.midnights, 2))
    return scene.rng.choice(
        [
            (early, None),
            (late, None),
            (scene.long_ago, early),
            (scene.long_ago, late),
            (early, late),
            (early, early),
            (scene.long_ago, scene.long_ago + MICROSECOND),
            (scene.long_ago, scene.clock + timedelta(days=9)),
        ]
    )
