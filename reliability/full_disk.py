"""A disk without room: a tablespace on a small file system of its own, which only root can make."""

from __future__ import annotations

import shutil
import subprocess

from reliability.databases import execute
from reliability.scene import Scene
from reliability.trials import Fault, Trial, tried

_TABLESPACE = "small_disk"
_PLENTY = 2**30


def disk_without_room(scene: Scene, room: int) -> Trial | None:
    """The warehouse's disk has so many bytes left, until somebody makes room for the next backfill.

    None where no file system can be made.
    """
    folder = scene.folder / "disk"
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={_PLENTY}", "reliability", str(folder)]
    if subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode:
        return None
    server = scene.victim.url("postgres")
    try:
        scene.victim.give(folder)
        execute(server, f"CREATE TABLESPACE {_TABLESPACE} LOCATION '{folder}'")

        def resize(size: int) -> None:
            subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)

        def harm(_: object) -> str:
            resize(shutil.disk_usage(folder).used + room)
            return "all of it"

        fault = Fault(
            "warehouse's disk full", harm, mend=lambda: resize(_PLENTY), must_fail=True, tablespace=_TABLESPACE
        )
        trial = tried(scene, fault)
        scene.restore()
        # Files of tables that were dropped stay until the next checkpoint.
        execute(server, "CHECKPOINT", f"DROP TABLESPACE {_TABLESPACE}")
        return trial
    finally:
        subprocess.run(["umount", str(folder)], check=True)
