"""One rule, three engines: every table of every system, and every bad row, from DuckDB over PostgreSQL and over Parquet, and
from a real Spark cluster, as a driver of its own over the same Parquet files and by Spark Connect over tables."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from health_pipeline.days import DayRange
from health_pipeline.errors import SettingError
from health_pipeline.sources import contract
from health_pipeline.sources.connect import connect
from health_pipeline.systems.client_success import run_client_success
from health_pipeline.systems.client_weeks import run_client_weeks
from health_pipeline.systems.order_health import run_order_health
from health_pipeline.systems.tenant_health import run_tenant_health
from health_pipeline.tables.client_success import DAILY_TABLES, WEEKLY_TABLES
from health_pipeline.tables.declare import Table
from health_pipeline.tables.order_health import ORDER_HEALTH_TABLES
from health_pipeline.tables.tenant_health import TENANT_HEALTH_TABLES
from health_pipeline_tests.conftest import NewDatabase
from health_pipeline_tests.reference.contract import OPTIONAL_TABLES, Source
from health_pipeline_tests.reference.hostile import hostile_source
from health_pipeline_tests.reference.hostile_clients import hostile_clients
from health_pipeline_tests.reference.hostile_orders import hostile_orders
from health_pipeline_tests.support.compare import Rows, differences
from health_pipeline_tests.support.databases import query, table_rows
from health_pipeline_tests.support.runs import context_for
from health_pipeline_tests.support.small_sources import Readers, refusal, rows
from health_pipeline_tests.support.sources import load_parquet, load_postgres
from health_pipeline_tests.support.spark_cluster import COMPILED, driver_options, java_home, spark_cluster

# There was no 30 December: the zone moved from one side of the date line to the other.
ZONE, DAYS, CLOCK = "Pacific/Apia", (date(2011, 12, 28), date(2012, 1, 2)), datetime(2012, 1, 23, 12, tzinfo=UTC)
NAIVE = datetime(2024, 3, 1, 12, 30, 0, 123_456)
# Connect sends the same statements; the system with the most arithmetic shows that it brings the same rows, here by
# compiled stages, as in production.
BY_CONNECT = ("order health",)
WINDOW: dict[str, Any] = {"days": DAYS, "zone": ZONE, "clock": CLOCK}


@dataclass(frozen=True)
class System:
    """A system, the hostile source made for it, and the tables that it writes."""

    run: Callable[..., Any]
    source: str
    tables: frozenset[str]

    def results(self, url: str, warehouse: str, **settings: str | Path) -> tuple[dict[str, Rows], list[Any]]:
        """What a run from the source leaves in the empty warehouse: all rows by table, and the bad rows."""
        self.run(context_for(url, warehouse, CLOCK, zone=ZONE, **settings), DayRange(*DAYS), self.tables)
        bad = query(warehouse, "SELECT quarantine_id, source_table, row_key, reason, row FROM health.quarantined_rows")
        return {table: table_rows(warehouse, table) for table in self.tables}, sorted(
            bad, key=lambda row: row["quarantine_id"]
        )


def names(tables: Iterable[Table]) -> frozenset[str]:
    return frozenset(table.name for table in tables)


SYSTEMS = {
    "tenant health": System(run_tenant_health, "tenants", names(TENANT_HEALTH_TABLES)),
    "order health": System(run_order_health, "orders", names(ORDER_HEALTH_TABLES)),
    "clients by day": System(run_client_success, "clients", names(DAILY_TABLES)),
    "clients by week": System(run_client_weeks, "clients", names(WEEKLY_TABLES)),
}


@pytest.fixture(scope="module")
def sources() -> dict[str, Source]:
    """The hostile sources, but for NaN, which decimals in Parquet don't know."""
    made = {
        "tenants": hostile_source(3, **WINDOW, tenants=12),
        "orders": hostile_orders(3, **WINDOW, customers=20),
        "clients": hostile_clients(3, **WINDOW, clients=5, optional=OPTIONAL_TABLES),
    }
    for source in made.values():
        for order in source.get("orders", []):
            if order["total_amount"] is not None and order["total_amount"].is_nan():
                order["total_amount"] = Decimal(-1)
    return made


@pytest.fixture(scope="module")
def lake(sources: dict[str, Source], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sources as folders of Parquet files."""
    folder = tmp_path_factory.mktemp("lake")
    for name, source in sources.items():
        load_parquet(folder / name, source)
    return folder


@dataclass(frozen=True)
class Cluster:
    """How to reach the cluster: as a driver of one's own, or by Spark Connect."""

    master: str
    connect: str
    options: dict[str, str]

    def url(self, folder: Path) -> str:
        return f"{self.master}?{urlencode({**self.options, 'path': str(folder)})}"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A master, two workers, and this process' driver, which is the Spark Connect server as well; all with Java of a wheel."""
    folder = tmp_path_factory.mktemp("spark")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_HOME", str(java_home(folder / "java")))
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        with spark_cluster(folder / "cluster") as master:
            port = free_port()
            served = {
                "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
                "spark.connect.grpc.binding.port": str(port),
            }
            there = Cluster(master, f"sc://127.0.0.1:{port}", {**driver_options(folder), **served})
            first = connect(there.url(folder))  # the driver lasts as long as a session of it
            yield there
            first.close()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def tables(cluster: Cluster, lake: Path) -> dict[str, str]:
    """The sources as databases of Spark's catalogue: their names."""
    server = connect(cluster.connect)
    for folder in sorted(lake.iterdir()):
        server.engine.raw_sql(f"CREATE DATABASE lake_{folder.name}").collect()
        for table in sorted(folder.iterdir()):
            place = f"lake_{folder.name}.{table.name} USING parquet LOCATION '{table}'"
            server.engine.raw_sql(f"CREATE TABLE {place}").collect()
    server.close()
    return {folder.name: f"lake_{folder.name}" for folder in lake.iterdir()}


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_cell_is_the_same_on_every_engine(
    name: str,
    sources: dict[str, Source],
    lake: Path,
    cluster: Cluster,
    tables: dict[str, str],
    new_database: NewDatabase,
    migrated_template: str,
    tmp_path: Path,
) -> None:
    system = SYSTEMS[name]
    folder, database, mapping = lake / system.source, new_database(), tmp_path / "mapping.yaml"
    load_postgres(database, sources[system.source])
    mapping.write_text(f"schema: {tables[system.source]}\n")
    expected, bad = system.results(database, new_database(migrated_template))
    assert all(expected[table] for table in system.tables)
    assert len(bad) > 10
    others: list[tuple[str, dict[str, Path]]] = [(f"parquet://{folder}", {}), (cluster.url(folder), {})]
    if name in BY_CONNECT:
        others.append((f"{cluster.connect}?{urlencode(COMPILED)}", {"source_mapping": mapping}))
    for url, settings in others:
        found, found_bad = system.results(url, new_database(migrated_template), **settings)
        for table, of_table in expected.items():
            assert differences(found[table], of_table) == []
        assert found_bad == bad


@pytest.fixture(scope="module")
def small_lake(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The least that a source must have, as Parquet files in folders of folders, with a column that only some have."""
    folder = tmp_path_factory.mktemp("small")
    seen = pa.array([NAIVE], pa.timestamp("us"))
    write(folder / "tenants/a.parquet", tenant_id=["t"], name=["a\0b"], created_at=seen)
    write(folder / "users/a.parquet", user_id=[7], tenant_id=["t"], created_at=seen)
    event = {"tenant_id": ["t"], "user_id": ["7"], "event_type": ["login"], "occurred_at": seen}
    write(folder / "events/2024/a.parquet", **event)
    write(folder / "events/2025/b.parquet", **event, session_id=["s"])
    return folder


def write(path: Path, **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def test_files_of_every_age_and_types_of_every_kind(cluster: Cluster, small_lake: Path, reader: Readers) -> None:
    found = reader(cluster.url(small_lake))
    found.check()
    (tenant,) = rows(found, contract.TENANTS)
    assert (tenant["name"], tenant["created_at"]) == ("a\ufffdb", NAIVE)
    assert [row["user_id"] for row in rows(found, contract.USERS)] == ["7"]
    assert sorted(str(row["session_id"]) for row in rows(found, contract.EVENTS)) == ["None", "s"]
    assert found.read(contract.CASES) is None


def test_selects_name_folders_as_tables(cluster: Cluster, small_lake: Path, reader: Readers) -> None:
    users = {"sql": "SELECT user_id + 1 AS user_id, tenant_id, created_at FROM users;"}
    mapped = reader(f"{cluster.connect}?path={small_lake}", tables={"users": users})
    assert [row["user_id"] for row in rows(mapped, contract.USERS)] == ["8"]
    unknown = reader(cluster.connect, tables={"users": {"sql": "SELECT * FROM nowhere"}})
    message = refusal(lambda: unknown.connector.relation(unknown.mapping.place(contract.USERS)))
    assert message.startswith("source table users: its select (sql) can't be read: ")
    assert "nowhere" in message


def test_what_a_source_lacks(cluster: Cluster, small_lake: Path, tmp_path: Path, reader: Readers) -> None:
    assert "source table tenants: was looked for as app.tenants" in refusal(reader(cluster.connect).check)
    assert "app.tenants, but there is no such table" in refusal(reader(f"{cluster.connect}?path={tmp_path}").check)
    mapping = {"users": {"columns": {"name": "created_at"}}}
    message = refusal(reader(cluster.url(small_lake), tables=mapping).check)
    assert "column name must be text, a uuid or an integer, but 'created_at' in app.users is timestamp_ntz" in message


@pytest.mark.parametrize("address", ["spark://127.0.0.1:{port}", "sc://127.0.0.1:{port}/;token=hunter2"])
def test_nobody_answers(address: str) -> None:
    message = refusal(lambda: connect(address.format(port=free_port())))
    assert message.startswith("the source can't be reached (HEALTH_SOURCE_URL): ")
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("spark://127.0.0.1", "must be spark://HOST:PORT"),
        ("sc://127.0.0.1:hunter2", "must be sc://HOST:PORT"),
        ("sc://127.0.0.1:1/;token=hunter2;nonsense", "must be sc://HOST:PORT"),
        ("spark://127.0.0.1:1?memory=hunter2", "'memory' is no option of a Spark source"),
        ("spark://127.0.0.1:1?spark.hadoop.fs.s3a.secret.key=hunter2", "spark.hadoop.fs.s3a.secret.key would be seen"),
    ],
)
def test_urls_that_are_refused(url: str, expected: str) -> None:
    message = refusal(lambda: connect(url), SettingError)
    assert expected in message
    assert "hunter2" not in message
