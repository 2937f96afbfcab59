"""`python -m benchmarks`: measure, and show or write a Markdown document."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from benchmarks.data.sizes import SIZES, USUAL_DAYS, Dataset
from benchmarks.report import markdown
from benchmarks.runner import COMMAND, FLOOR, SQL, Options, benchmark
from health_pipeline.embedded import EmbeddedServer

_WINDOW_DAYS = 30


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--size", "sizes", multiple=True, type=click.Choice(list(SIZES)), default=("S", "M"), show_default=True)
@click.option(
    "--days", multiple=True, type=click.IntRange(1, 90), default=(1, 30), show_default=True, help="Days per run."
)
@click.option(
    "--history-days",
    default=USUAL_DAYS,
    show_default=True,
    type=click.IntRange(1, 1_500),
    help="Days that have facts, at the same rate a day.",
)
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1), help="Each is measured so many times.")
@click.option(
    "--cache", default=".bench", show_default=True, type=click.Path(path_type=Path), help="Where data is kept."
)
@click.option("--unique-events/--no-unique-events", default=True, show_default=True, help="A unique index on event_id.")
@click.option(
    "--dbt", type=click.Path(exists=True, path_type=Path), help="The program dbt (with dbt-postgres), for nights."
)
@click.option("--skip", multiple=True, type=click.Choice([FLOOR, SQL, COMMAND]), help="Leave this out.")
@click.option("--markdown", "document", type=click.Path(path_type=Path), help="Write the results here as well.")
def main(
    sizes: tuple[str, ...],
    days: tuple[int, ...],
    history_days: int,
    repeats: int,
    cache: Path,
    unique_events: bool,
    dbt: Path | None,
    skip: tuple[str, ...],
    document: Path | None,
) -> None:
    """Hold the pipeline against its peers, on this machine, now. Leave the machine alone meanwhile."""
    # A relative path would mean another folder to the processes that are started elsewhere.
    options = Options(cache.absolute(), repeats, unique_events, dbt.absolute() if dbt else None, frozenset(skip))
    server = EmbeddedServer(options.cache / "server")
    url = server.url("postgres")
    results = []
    for size in sizes:
        for count in days:
            dataset = Dataset(SIZES[size], history_days)
            if count + _WINDOW_DAYS > history_days:
                raise click.UsageError(
                    f"{count} days and the {_WINDOW_DAYS} before them don't lie within {history_days} days"
                )
            results.append(benchmark(url, dataset, count, options, lambda text: click.echo(text, err=True)))
            text = markdown(url, results)
            if document is not None:
                document.write_text(text, encoding="utf-8")
    click.echo(text)
    server.stop()
    # A peer that computes something else measures nothing.
    sys.exit(1 if any(result.differing_rows for result in results) else 0)


if __name__ == "__main__":
    main()
