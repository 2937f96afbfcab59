"""psql: a shell on the warehouse, or its connection line where there is no psql."""

from __future__ import annotations

import shutil
import subprocess

import click

from health_pipeline.connections import resolved_urls
from health_pipeline.embedded import bundled_program
from health_pipeline.settings import read_settings


def open_psql(arguments: tuple[str, ...]) -> int:
    """Run psql until the user leaves it; returns its exit code."""
    url = resolved_urls(read_settings()).warehouse
    program = shutil.which("psql") or bundled_program("psql")
    if program is None:
        click.echo(f"There is no psql on this machine. Connect with: psql '{url}'")
        return 0
    return subprocess.run([program, url, *arguments], check=False).returncode
