"""Errors that a user can act on. The command line shows them as one line; a Dagster run fails with them, unretried."""

from __future__ import annotations

from collections.abc import Mapping


class UserError(Exception):
    """Something the user has to change: the message says what was expected, what was found and what to do."""


class SettingError(UserError):
    """An environment setting, a date or a command argument that can't be used."""


class PolicyError(UserError):
    """A policy file that is refused, with the key and the reason."""


class MappingError(UserError):
    """A source mapping that can't be read or names what isn't there."""


class SourceError(UserError):
    """The source can't be reached, or lacks a table or column that the contract requires."""


class EngineMemoryError(SourceError):
    """The engine needs more memory at once than it may take."""


class WarehouseError(UserError):
    """The warehouse can't be reached, or isn't at the version that this program needs."""


class TooManyBadRows(UserError):
    """More bad rows than the limit allows; nothing was written but the record of the bad rows."""


class InvalidResult(UserError):
    """Computed rows break their table's declaration; nothing was written.

    tenants: whose rows they are, with what is wrong with the first of them; empty where a row is of no tenant.
    """

    def __init__(self, message: str, tenants: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.tenants = dict(tenants or {})
