"""Which errors may pass by themselves: a lost connection, a lock, a server that restarts."""

from __future__ import annotations

import duckdb
from adbc_driver_postgresql import dbapi
from sqlalchemy.exc import DBAPIError

# SQLSTATE classes and codes: connection exceptions, transaction rollbacks (deadlock, serialization), lack of
# connections, a lock that can't be had, and an administrator's shutdown or crash of the server.
_TRANSIENT = ("08", "40", "53300", "55P03", "57P01", "57P02", "57P03")
# What libpq says where there is no code: connections that were lost, and those that a server can't take now.
_LOST = (
    *("server closed the connection", "no connection to the server", "terminating connection", "ssl syscall error"),
    *("could not receive data from server", "could not send data to server", "connection has been closed unexpectedly"),
    *("is the server running", "timeout expired", "temporary failure in name resolution", "the database system is "),
    *("too many clients", "too many connections", "remaining connection slots"),
)


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed a little later. Looks at the error and at what it was raised from."""
    seen: BaseException | None = error
    while seen is not None:
        code = _sqlstate(seen)
        if code.startswith(_TRANSIENT):
            return True
        if isinstance(seen, (dbapi.Error, DBAPIError, duckdb.Error)) and any(
            text in str(seen).lower() for text in _LOST
        ):
            return True
        seen = seen.__cause__
    return False


def _sqlstate(error: BaseException) -> str:
    if isinstance(error, DBAPIError):
        return getattr(error.orig, "pgcode", None) or ""
    return getattr(error, "sqlstate", None) or ""
