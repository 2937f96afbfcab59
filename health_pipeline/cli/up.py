"""up: the Dagster UI and daemon on the same state, until Ctrl-C; then everything stops, the embedded database included."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import click

from health_pipeline.connections import resolved_urls
from health_pipeline.orchestration.instance import dagster_home, workspace_file
from health_pipeline.settings import read_settings
from health_pipeline.warehouse.migrate import migrate


def serve(host: str, port: int) -> int:
    """Serve until a signal; returns the exit code."""
    settings = read_settings()
    urls = resolved_urls(settings)
    migrate(urls.warehouse)
    environment = {**os.environ, "DAGSTER_HOME": str(dagster_home(settings))}
    urls.export(environment)
    arguments = ["-m", "dagster", "dev", "-w", str(workspace_file()), "-h", host, "-p", str(port)]
    click.echo(f"Dagster UI: http://{host}:{port}   (Ctrl-C stops it)")
    # Handlers come first: a signal that was ignored would be ignored by the children too, and they could not be stopped.
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    # A group of its own: Ctrl-C reaches this process alone, which then stops the others in order.
    command = [sys.executable, "-W", "ignore", *arguments]
    server = subprocess.Popen(command, env=environment, start_new_session=True)
    while server.poll() is None and not stopping.wait(timeout=0.5):
        pass
    if server.poll() is None:
        server.send_signal(signal.SIGINT)
    code = server.wait()
    return 0 if stopping.is_set() else code
