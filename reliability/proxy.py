"""A TCP proxy in front of a database that drops connections at a byte of one's choosing."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class CuttingProxy:
    """Hands bytes on both ways, and resets the connection with which the `cut_at`th byte passes, once. Counts all bytes."""

    def __init__(self, url: str, cut_at: int | None = None) -> None:
        self.bytes_passed = 0
        self.cuts = 0
        self._cut_at = cut_at
        self._lock = threading.Lock()
        self._target = _address(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items() if name != "host"}
        user = parts.netloc.rpartition("@")[0]
        netloc = f"{user}@127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = urlunsplit(parts._replace(netloc=netloc, query=urlencode(query)))

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A thread that waits in accept() is woken only so.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def cut_after(self, size: int) -> None:
        """Cut the connection with which so many more bytes pass."""
        with self._lock:
            self._cut_at = self.bytes_passed + size

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET)
                try:
                    server.connect(self._target)
                except OSError:
                    _reset(client)
                    continue
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._hand_on, args=(source, sink), daemon=True).start()

    def _hand_on(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                passed, is_cut = self._counted(len(data))
                sink.sendall(data[:passed])
                if is_cut:
                    _reset(source)
                    _reset(sink)
                    return
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            # One side is gone, so the other one goes as well.
            _reset(source)
            _reset(sink)

    def _counted(self, size: int) -> tuple[int, bool]:
        """How many of so many bytes may pass, and whether the connection is cut after them."""
        with self._lock:
            is_cut = self._cut_at is not None and not self.cuts and self.bytes_passed + size >= self._cut_at
            passed = self._cut_at - self.bytes_passed if is_cut and self._cut_at is not None else size
            self.bytes_passed += passed
            self.cuts += is_cut
            return passed, is_cut


def _address(url: str) -> str | tuple[str, int]:
    """Where the server of a URL listens: a socket's path, or host and port."""
    parts = urlsplit(url)
    folder = parse_qs(parts.query).get("host", [""])[0]
    if folder.startswith("/"):
        return f"{folder}/.s.PGSQL.{parts.port or 5432}"
    return parts.hostname or folder or "127.0.0.1", parts.port or 5432


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        # Closing isn't enough while another thread waits in recv().
        end.shutdown(socket.SHUT_RD)
    end.close()
