"""Sessions on Spark: of this process' driver on a standalone cluster, or of a Spark Connect server.

Nothing here waits for ever: a cluster that doesn't answer, or has no worker to spare, is a SourceError.
"""

from __future__ import annotations

import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import grpc
from pyspark.errors import PySparkException
from pyspark.sql.connect.client import DefaultChannelBuilder
from pyspark.sql.connect.session import SparkSession as ConnectSession
from pyspark.sql.session import SparkSession

from health_pipeline.errors import SettingError, SourceError
from health_pipeline.sources.spark_engine import SPARK_ERRORS, one_line

_UNREACHABLE = "the source can't be reached (HEALTH_SOURCE_URL): "
_SERVER = "Spark Connect server"
_SECONDS_TO_ANSWER = 10
_SECONDS_TO_START = 60
_DEFAULTS = {
    "spark.app.name": "health_pipeline",
    "spark.log.level": "ERROR",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


class _Standalone:
    """This process' one driver. The last session that leaves stops it, so that the cluster has its cores back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = 0
        self._first: Any = None

    def open(self, address: str, options: dict[str, Any]) -> Any:
        """A session with views of its own. Raises SourceError where there is no master, or no worker has room."""
        masters = address.removeprefix("spark://").split(",")
        if not all(re.fullmatch(r"[^/]+:\d+", master) for master in masters):
            raise SettingError(
                "HEALTH_SOURCE_URL must be spark://HOST:PORT, of several masters spark://HOST:PORT,HOST:PORT"
            )
        _check_answers(masters, "Spark master")
        with self._lock:
            if self._open == 0:
                self._first = _started(address, {**_DEFAULTS, **options})
            self._open += 1
            return self._first.newSession()

    def leave(self, session: Any) -> None:  # noqa: ARG002
        with self._lock:
            self._open -= 1
            if self._open == 0:
                with suppress(*SPARK_ERRORS):  # a driver that has ended needs no end
                    self._first.stop()


class _Connect:
    """Sessions of a Spark Connect server, each its own."""

    def open(self, address: str, options: dict[str, Any]) -> Any:
        """A session. Raises SourceError where no such server answers, or it refuses."""
        try:
            builder = DefaultChannelBuilder(address)
        except (PySparkException, ValueError) as error:
            raise SettingError(
                "HEALTH_SOURCE_URL must be sc://HOST:PORT, or with a server's parameters sc://HOST:PORT/;use_ssl=true;token=…"
            ) from error
        _check_answers([builder.endpoint], _SERVER)
        channel = builder.toChannel()
        try:
            grpc.channel_ready_future(channel).result(timeout=_SECONDS_TO_ANSWER)
            return ConnectSession.builder.remote(address).config(map=options).create()
        except grpc.FutureTimeoutError as error:
            raise _no_answer(_SERVER) from error
        except SPARK_ERRORS as error:
            raise SourceError(_UNREACHABLE + one_line(error).replace(address, "its address")) from error
        finally:
            channel.close()

    def leave(self, session: Any) -> None:
        session.stop()


STANDALONE = _Standalone()
CONNECT = _Connect()


def _check_answers(endpoints: list[str], what: str) -> None:
    """Spark itself would try for minutes. Of several endpoints (HOST:PORT) one is enough."""
    for endpoint in endpoints:
        host, _, port = endpoint.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _SECONDS_TO_ANSWER / len(endpoints)).close()
        except (OSError, OverflowError):
            continue
        return
    raise _no_answer(what)


def _started(address: str, options: dict[str, Any]) -> Any:
    """The driver, once an executor has done a first piece of work for it."""
    try:
        session = SparkSession.builder.config(map=options).master(address).getOrCreate()
    except SPARK_ERRORS as error:
        if isinstance(error, PySparkException) and error.getCondition() == "JAVA_GATEWAY_EXITED":
            raise SettingError(
                "HEALTH_SOURCE_URL: spark:// needs Java 17 on this machine too: install it, or set JAVA_HOME; or use sc://"
            ) from error
        raise SourceError(_UNREACHABLE + one_line(error)) from error
    with ThreadPoolExecutor(1) as threads:
        first_work = threads.submit(lambda: session.range(1).count())
        try:
            first_work.result(timeout=_SECONDS_TO_START)
        except TimeoutError as error:
            session.stop()
            raise SourceError(
                f"{_UNREACHABLE}no worker of the Spark cluster had room within {_SECONDS_TO_START} seconds; see whether its"
                " workers are up, and what spark.cores.max and spark.executor.memory ask of them"
            ) from error
        except SPARK_ERRORS as error:
            session.stop()
            raise SourceError(_UNREACHABLE + one_line(error)) from error
    return session


def _no_answer(what: str) -> SourceError:
    return SourceError(f"{_UNREACHABLE}no {what} answers there within {_SECONDS_TO_ANSWER} seconds")
