"""A real web server on this machine, which answers as it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Hook"], None]


class Hook(BaseHTTPRequestHandler):
    """Keeps what is posted, then does what `answer` says."""

    web: WebServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.web.received.append(body)
        self.web.requests.append((self.path, dict(self.headers)))
        self.web.answer(self)

    def do_GET(self) -> None:
        """What follows a redirect would ask this."""
        self.web.requests.append((f"GET {self.path}", {}))
        reply(self, 200)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing on the screen."""


class WebServer:
    """received: the bodies, in order. released: ends what hangs."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.answer: Answer = lambda hook: reply(hook, 200)
        self.released = threading.Event()
        self.port = 0

    @property
    def texts(self) -> list[str]:
        return [body["text"] for body in self.received]

    def url(self, path: str = "/services/T0/B0/s3cret") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def hang(self, hook: Hook) -> None:
        """Take the request and never answer."""
        self.released.wait(30)
        hook.close_connection = True

    def drip(self, hook: Hook) -> None:
        """Answer so slowly that no single wait is long, and all of them are."""
        hook.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not self.released.wait(0.2):
            try:
                hook.wfile.write(b"X-Slow: x\r\n")
            except OSError:
                break


def reply(hook: Hook, status: int, **headers: str) -> None:
    """Answer with a status and a body that repeats the secret path, as careless servers do."""
    body = f"no such hook: {hook.path}".encode()
    hook.send_response(status, f"because of {hook.path}")
    for name, text in {**headers, "Content-Length": str(len(body))}.items():
        hook.send_header(name, text)
    hook.end_headers()
    hook.wfile.write(body)


def hang_up(hook: Hook) -> None:
    """Close the connection after the body, without an answer."""
    hook.close_connection = True


@contextmanager
def running_web_server() -> Iterator[WebServer]:
    """A running web server."""
    web = WebServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Hook,), {"web": web}))
    web.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield web
    finally:
        web.released.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
