"""Who may see what: PostgreSQL's roles, the owner, grants and row policies, all of them from the declared tables and views.

health_pipeline owns the schema and what is in it. health_analyst reads everything but people's email addresses. health_tenant
reads the computed rows of the tenant that its session names in `health.tenant_id`, and peer benchmarks; without a name, no
rows. None of the three needs to log in: logins are made members of them, see docs/production.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime

import sqlalchemy as sa

from health_pipeline.errors import WarehouseError
from health_pipeline.tables.catalogue import SCHEMA, TABLES, VIEWS
from health_pipeline.tables.declare import Table
from health_pipeline.tables.records import ROLE_DEFINITIONS
from health_pipeline.tables.tenant_health import PEER_BENCHMARKS, PEER_TABLES

OWNER, ANALYST, TENANT = "health_pipeline", "health_analyst", "health_tenant"
ROLES = (OWNER, ANALYST, TENANT)
TENANT_SETTING = f"{SCHEMA}.tenant_id"

_OLDEST_SERVER = 15  # The first with views that run with their reader's rights.
_VERSION_TABLE = "alembic_version"
_READERS = f"{ANALYST}, {TENANT}"
_MIGHTY = (
    *ROLES,
    "pg_read_all_data",
    "pg_write_all_data",
    "pg_read_server_files",
    "pg_write_server_files",
    "pg_execute_server_program",
)

_LOGIN = sa.text("""
SELECT quote_ident(current_user) AS name, rolsuper AS is_superuser, rolsuper OR rolcreaterole AS may_create_roles
FROM pg_roles WHERE rolname = current_user
""")
_FOUND = sa.text("SELECT rolname, oid FROM pg_roles WHERE rolname = ANY (:roles) ORDER BY rolname")
# USAGE: it has the owner's rights; SET (before PostgreSQL 16: MEMBER): what it makes can belong to the owner.
_MAY_ACT = sa.text("""
SELECT coalesce(bool_and(pg_has_role(oid, 'USAGE') AND pg_has_role(oid, :set)), false) FROM pg_roles WHERE rolname = :owner
""")
# Row policies don't bind such a role, or it could take the rights of one that they don't bind.
_TOO_MIGHTY = sa.text("""
SELECT reader.rolname FROM pg_roles AS reader
WHERE
    reader.rolname = ANY (:readers)
    AND (
        reader.rolsuper OR reader.rolbypassrls OR reader.rolcreaterole
        OR EXISTS (
            SELECT FROM pg_roles AS other
            WHERE
                other.oid <> reader.oid
                AND (other.rolname = ANY (:mighty) OR other.rolsuper OR other.rolbypassrls)
                AND pg_has_role(reader.oid, other.oid, 'MEMBER')
        )
    )
ORDER BY 1
""")
_SCHEMA_OWNER = sa.text("SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = :schema")
# Ours are the declared ones, Alembic's, and the months of declared ones. What others put into the schema stays theirs.
_RELATIONS = """
SELECT format('%I.%I', nspname, relname) AS name, pg_get_userbyid(relowner) AS owner
FROM pg_class AS relation
JOIN pg_namespace ON pg_namespace.oid = relnamespace
LEFT JOIN pg_inherits ON inhrelid = relation.oid
WHERE
    nspname = :schema
    AND relkind IN ('r', 'p', 'v')
    AND (
        relname = ANY (:names)
        OR inhparent IN (SELECT oid FROM pg_class WHERE relnamespace = pg_namespace.oid AND relname = ANY (:names))
    )
ORDER BY 1
"""


def is_owned(connection: sa.Connection) -> bool:
    """Whether the schema is there and the owner's, and the login the owner, a member with its rights, or a superuser."""
    return connection.scalar(_SCHEMA_OWNER, {"schema": SCHEMA}) == OWNER and _may_act_as_owner(connection)


def _may_act_as_owner(connection: sa.Connection) -> bool:
    set_or_member = "SET" if _server_version(connection) >= 16 else "MEMBER"
    return bool(connection.scalar(_MAY_ACT, {"owner": OWNER, "set": set_or_member}))


def are_granted(connection: sa.Connection) -> bool:
    """Whether what these declarations grant was granted last, to the roles that there are now."""
    granted = connection.scalars(sa.text(f"SELECT definition_hash FROM {SCHEMA}.{ROLE_DEFINITIONS.name}")).all()
    return list(granted) == [_definition_hash(connection)]


def become_owner(connection: sa.Connection) -> None:
    """Let the rest of the transaction act as the owner: make the roles that are missing and the schema, and hand it over.

    Raises WarehouseError, with what an administrator has to do, where the login may not.
    """
    if (version := _server_version(connection)) < _OLDEST_SERVER:
        raise WarehouseError(f"the warehouse needs PostgreSQL {_OLDEST_SERVER} or newer, but the server is {version}")
    _make_roles(connection)
    if not _may_act_as_owner(connection):
        login = connection.execute(_LOGIN).one().name
        raise WarehouseError(
            f"{login} is no member of {OWNER} with its rights; an administrator has to run: GRANT {OWNER} TO {login};"
        )
    mighty = connection.scalars(_TOO_MIGHTY, {"readers": [ANALYST, TENANT], "mighty": list(_MIGHTY)}).all()
    if mighty:
        raise WarehouseError(
            f"{', '.join(mighty)} can go around grants and row policies; take from it SUPERUSER, BYPASSRLS, CREATEROLE and its"
            f" memberships in roles that have them, or in {', '.join(_MIGHTY)}"
        )
    _own_schema(connection)
    connection.execute(sa.text(f"SET LOCAL ROLE {OWNER}"))


def apply_grants(connection: sa.Connection) -> None:
    """Give every role what the declarations say, and no more. The owner does it, when all tables and views are there."""
    ours = ", ".join(row.name for row in _relations(connection))
    connection.execute(sa.text(f"REVOKE ALL ON {ours} FROM PUBLIC, {_READERS}"))
    for statement in grant_statements():
        connection.execute(sa.text(statement))
    connection.execute(sa.text(f"DELETE FROM {SCHEMA}.{ROLE_DEFINITIONS.name}"))
    connection.execute(
        sa.text(f"INSERT INTO {SCHEMA}.{ROLE_DEFINITIONS.name} VALUES (:hash, :at)"),
        {"hash": _definition_hash(connection), "at": datetime.now(UTC)},
    )


def grant_statements() -> list[str]:
    """The statements that grant, on top of nothing, in order."""
    statements = [
        f"REVOKE ALL ON SCHEMA {SCHEMA} FROM PUBLIC, {_READERS}",
        f"GRANT USAGE ON SCHEMA {SCHEMA} TO {_READERS}",
        # Months are tables of their own, without policies: nobody but the owner gets at them, other than through their table.
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA {SCHEMA} REVOKE ALL ON TABLES FROM PUBLIC, {_READERS}",
        f"GRANT SELECT ON {SCHEMA}.{_VERSION_TABLE} TO {ANALYST}",
    ]
    for table in TABLES.values():
        statements += _of_table(table)
    for view in VIEWS.values():
        readers = _READERS if view.for_tenants else ANALYST
        statements.append(f"GRANT SELECT ON {SCHEMA}.{view.name} TO {readers}")
    return statements


def readable_columns(table: Table) -> list[str]:
    """The columns that analysts may read, in order."""
    return [column.name for column in table.columns if not column.has_addresses]


def is_for_tenants(table: Table) -> bool:
    """Whether a tenant reads it: its own rows of what runs compute from its data, not what staff and the pipeline note; all
    benchmarks, but not its rank, which tells of single peers when it is followed from day to day."""
    if table in PEER_TABLES:
        return table is PEER_BENCHMARKS
    return bool(table.cadence) and "tenant_id" in table.column_names


def _of_table(table: Table) -> Iterator[str]:
    name = f"{SCHEMA}.{table.name}"
    if "tenant_id" in table.column_names:
        # Also where tenants read nothing: so a grant made by mistake shows them no other's rows.
        conditions = {ANALYST: "true", TENANT: f"tenant_id = nullif(current_setting('{TENANT_SETTING}', true), '')"}
        yield f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"
        for role, condition in conditions.items():
            yield f"DROP POLICY IF EXISTS {role} ON {name}"
            yield f"CREATE POLICY {role} ON {name} FOR SELECT TO {role} USING ({condition})"
    columns = readable_columns(table)
    only = "" if columns == table.column_names else f" ({', '.join(columns)})"
    yield f"GRANT SELECT{only} ON {name} TO {ANALYST}"
    if is_for_tenants(table):
        yield f"GRANT SELECT ON {name} TO {TENANT}"


def _definition_hash(connection: sa.Connection) -> str:
    """Of the statements and of the roles themselves: restored on another server, nothing counts as granted."""
    roles = connection.execute(_FOUND, {"roles": list(ROLES)}).tuples().all()
    return hashlib.sha256(repr((grant_statements(), [tuple(role) for role in roles])).encode()).hexdigest()[:32]


def _make_roles(connection: sa.Connection) -> None:
    """Roles belong to the whole server: another warehouse may have them, or be making them at this moment."""
    found = {row.rolname for row in connection.execute(_FOUND, {"roles": list(ROLES)})}
    missing = [role for role in ROLES if role not in found]
    login = connection.execute(_LOGIN).one()
    create = {role: [f"CREATE ROLE {role} NOLOGIN"] for role in missing}
    if OWNER in missing and not login.is_superuser:
        create[OWNER].append(f"GRANT {OWNER} TO {login.name}")
    if missing and not login.may_create_roles:
        needed = "; ".join(statement for statements in create.values() for statement in statements)
        raise WarehouseError(
            f"{login.name} may not create the roles {', '.join(missing)}; an administrator has to run: {needed};"
        )
    for statements in create.values():
        try:
            with connection.begin_nested():
                for statement in statements:
                    connection.execute(sa.text(statement))
        except (sa.exc.IntegrityError, sa.exc.ProgrammingError) as error:
            # Made by another migration between the look and now; any other error is one.
            if getattr(error.orig, "pgcode", None) not in {"23505", "42710"}:
                raise


def _own_schema(connection: sa.Connection) -> None:
    """Make the schema, or hand it over with everything of ours in it."""
    schema_owner = connection.scalar(_SCHEMA_OWNER, {"schema": SCHEMA})
    if schema_owner is None:
        connection.execute(sa.text(f"CREATE SCHEMA {SCHEMA} AUTHORIZATION {OWNER}"))
        return
    foreign = [row for row in _relations(connection) if row.owner != OWNER]
    owners = sorted({row.owner for row in foreign} | {schema_owner})
    for owner in owners:
        if not connection.scalar(sa.text("SELECT pg_has_role(:owner, 'USAGE')"), {"owner": owner}):
            raise WarehouseError(
                f"the schema {SCHEMA} belongs to {owner}, who has to hand it over to {OWNER}: migrate once as {owner}, made a"
                f" member by GRANT {OWNER} TO {owner}, or as a superuser"
            )
    if schema_owner != OWNER:
        connection.execute(sa.text(f"ALTER SCHEMA {SCHEMA} OWNER TO {OWNER}"))
    for row in foreign:
        connection.execute(sa.text(f"ALTER TABLE {row.name} OWNER TO {OWNER}"))


def _relations(connection: sa.Connection) -> list[sa.Row[tuple[str, str]]]:
    names = [*TABLES, *VIEWS, _VERSION_TABLE]
    return list(connection.execute(sa.text(_RELATIONS), {"schema": SCHEMA, "names": names}).tuples().all())


def _server_version(connection: sa.Connection) -> int:
    return int(connection.scalar(sa.text("SHOW server_version_num"))) // 10_000
