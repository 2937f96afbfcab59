"""URLs of PostgreSQL databases, and what the server or libpq says of a failure. Neither ever repeats a password."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from health_pipeline.errors import SettingError

SCHEMES = ("postgresql", "postgres")

# A host that doesn't answer is given up after ten seconds, a connection that is gone without a word after two minutes:
# otherwise a run may wait for hours.
_LIMITS = {
    "connect_timeout": "10",
    "keepalives_idle": "60",
    "keepalives_interval": "10",
    "keepalives_count": "6",
    "tcp_user_timeout": "120000",
}


def connection_uri(setting: str, url: str) -> str:
    """The URL for libpq, with limits on how long silence is waited out unless it has its own.

    Raises SettingError, naming the setting but not its value, for what can't be the URL of a PostgreSQL database.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _malformed(setting) from error
    if parts.scheme not in SCHEMES:
        raise SettingError(f"{setting} must be postgresql://USER@HOST/DATABASE, but starts with {parts.scheme!r}")
    if re.search(r"%(?![0-9A-Fa-f]{2})", url):
        raise _malformed(setting)
    query = parse_qsl(parts.query, keep_blank_values=True)
    given = {name for name, _ in query}
    query += [(name, limit) for name, limit in _LIMITS.items() if name not in given]
    return urlunsplit(parts._replace(scheme="postgresql", query=urlencode(query)))


def _malformed(setting: str) -> SettingError:
    return SettingError(
        f"{setting} is no valid URL; percent-encode special characters in the user and the password, such as %25 for %,"
        " %40 for @, %2F for / and %5B for ["
    )


def libpq_message(error: Exception) -> str:
    """The server's or libpq's own words in one line, without the driver's and the engine's wrapping."""
    text = " ".join(str(error).split())
    text = re.sub(r"^.*?\[libpq\] ", "", text)
    text = re.sub(r"^.*PGRES_FATAL_ERROR ", "", text)
    return re.sub(r"\.? SQLSTATE: \w+.*$|\.? Query( was)?[:=].*$", "", text).strip()
