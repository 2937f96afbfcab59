"""The data as Parquet files, a folder per table, made once per folder: also a source of its own (parquet://FOLDER)."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.data.events import events
from benchmarks.data.people import people
from benchmarks.data.sizes import Dataset
from benchmarks.data.work import work


def parquet_folder(dataset: Dataset, cache: Path) -> Path:
    """The folder with the data, which is written now if it isn't there; one that was left half done is never used."""
    folder = cache / "parquet" / dataset.name
    if not folder.is_dir():
        unfinished = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        _write(dataset, unfinished)
        unfinished.rename(folder)
    return folder


def _write(dataset: Dataset, folder: Path) -> None:
    everybody = people(dataset)
    tables = {"tenants": everybody.tenants, "users": everybody.users, **work(dataset, everybody)}
    for name, table in tables.items():
        _write_parts(folder / name, [table])
    _write_parts(folder / "events", events(dataset, everybody))


def _write_parts(folder: Path, parts: Iterable[pa.Table]) -> None:
    folder.mkdir(parents=True)
    for number, part in enumerate(parts):
        pq.write_table(part, folder / f"part-{number:05}.parquet", compression="zstd")
