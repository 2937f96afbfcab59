"""`python -m reliability`: do all faults, and show or write what was seen as Markdown."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click
import numpy as np

from reliability.plan import KINDS
from reliability.report import markdown
from reliability.scene import prepared_scene
from reliability.server import Server


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--kills", default=20, show_default=True, type=click.IntRange(1), help="How often a run is killed.")
@click.option(
    "--only", multiple=True, type=click.Choice(list(KINDS)), default=KINDS, help="Some of the faults instead of all."
)
@click.option(
    "--seed", default=1, show_default=True, type=click.IntRange(0), help="Of the moments at which they are done."
)
@click.option("--tenants", default=20, show_default=True, type=click.IntRange(10), help="Of the invented application.")
@click.option("--days", default=14, show_default=True, type=click.IntRange(8, 90), help="That are backfilled.")
@click.option("--markdown", "document", type=click.Path(path_type=Path), help="Write the table here as well.")
def main(kills: int, only: tuple[str, ...], seed: int, tenants: int, days: int, document: Path | None) -> None:
    """Kill, cut and starve backfills of an invented application on servers of its own, and look what becomes of the rows."""
    rng = np.random.default_rng(seed)
    results = []
    with tempfile.TemporaryDirectory(prefix="health_pipeline_reliability_") as name:
        folder = Path(name)
        victim, steady = Server(folder / "victim"), Server(folder / "steady")
        try:
            victim.keep_log_in_small_files()
            scene = prepared_scene(victim, steady.url("dagster"), folder, tenants=tenants, days=days)
            click.echo(f"an undisturbed backfill takes {scene.seconds:.1f} s", err=True)
            for kind in only:
                for trial in KINDS[kind](scene, kills, rng):
                    results.append(trial)
                    click.echo(f"{trial.fault} ({trial.stage}): {'; '.join(trial.problems) or 'whole'}", err=True)
                    if document is not None:
                        document.write_text(markdown(results), encoding="utf-8")
        finally:
            victim.stop()
            steady.stop()
    click.echo(markdown(results))
    sys.exit(1 if any(trial.problems for trial in results) else 0)


if __name__ == "__main__":
    main()
