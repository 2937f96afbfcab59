"""A PostgreSQL server of our own that may be harmed: restarted under its users, or left without room."""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any, Literal

from health_pipeline.embedded import EmbeddedServer, bundled_program

Shutdown = Literal["fast", "immediate"]


class Server:
    """A server in a folder that is not anybody else's."""

    def __init__(self, home: Path) -> None:
        self._server = EmbeddedServer(home)
        self._data = home / "postgres"

    def url(self, database: str) -> str:
        return self._server.url(database)

    def stop(self) -> None:
        # The embedded server knows only the process that it has started itself.
        if (self._data / "postmaster.pid").exists():
            self._shut_down("fast")
        self._server.stop()

    def restart(self, mode: Shutdown, seconds_down: float = 0.0) -> None:
        """Shut it down under its users and start it again: fast ends their transactions, immediate is a crash."""
        self._shut_down(mode)
        time.sleep(seconds_down)
        self._start()

    def keep_log_in_small_files(self) -> None:
        """Let the files of its log have 1 MB instead of 16: a limit on file sizes below theirs would stop it altogether."""
        self._shut_down("fast")
        self._run("pg_resetwal", "--wal-segsize=1")
        self._start()

    def limit_file_size(self, limit: int | None) -> None:
        """Let no file of the server grow beyond so many bytes, as a quota does; None: take the limit away.

        For connections that are made from now on.
        """
        postmaster = int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])

        def set_limit() -> None:
            _, most = resource.prlimit(postmaster, resource.RLIMIT_FSIZE)
            resource.prlimit(postmaster, resource.RLIMIT_FSIZE, (most if limit is None else limit, most))

        # A process of the same user may do it, and root not everywhere.
        subprocess.run(["true"], check=True, preexec_fn=set_limit, **self._as_owner())

    def give(self, folder: Path) -> None:
        """Make the server the owner of a folder."""
        owner = self._data.stat()
        os.chown(folder, owner.st_uid, owner.st_gid)

    def _shut_down(self, mode: Shutdown) -> None:
        self._run("pg_ctl", "-w", "-s", "stop", "-m", mode)

    def _start(self) -> None:
        """With the options that it had."""
        _, *options = shlex.split((self._data / "postmaster.opts").read_text())
        # pg_ctl names the folder itself.
        folder = options.index("-D")
        del options[folder : folder + 2]
        self._run("pg_ctl", "-w", "-s", "start", "-l", str(self._data / "log"), "-o", shlex.join(options))

    def _run(self, name: str, *arguments: str) -> None:
        program = bundled_program(name)
        assert program is not None
        command = [program, "-D", str(self._data), *arguments]
        # The server inherits what it is started with, so nothing of ours may be waited for.
        quiet: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        subprocess.run(command, check=True, cwd="/", **quiet, **self._as_owner())

    def _as_owner(self) -> dict[str, Any]:
        """A server doesn't run as root: its folder's owner is who may start it."""
        owner = self._data.stat()
        return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
