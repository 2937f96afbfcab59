"""All warehouse tables and views, in the order in which a run writes and `migrate` creates them."""

from __future__ import annotations

from health_pipeline.tables.client_success import CLIENT_SUCCESS_RECORDS, CLIENT_SUCCESS_TABLES
from health_pipeline.tables.client_success_views import CLIENT_SUCCESS_VIEWS
from health_pipeline.tables.declare import Table, View
from health_pipeline.tables.order_health import ORDER_HEALTH_TABLES
from health_pipeline.tables.order_health_views import ORDER_HEALTH_VIEWS
from health_pipeline.tables.records import RECORD_TABLES
from health_pipeline.tables.tenant_health import TENANT_HEALTH_TABLES
from health_pipeline.tables.tenant_health_views import TENANT_HEALTH_VIEWS

SCHEMA = "health"
_COMPUTED = (*TENANT_HEALTH_TABLES, *ORDER_HEALTH_TABLES, *CLIENT_SUCCESS_TABLES)
TABLES: dict[str, Table] = {table.name: table for table in (*_COMPUTED, *CLIENT_SUCCESS_RECORDS, *RECORD_TABLES)}
VIEWS: dict[str, View] = {
    view.name: view for view in (*TENANT_HEALTH_VIEWS, *ORDER_HEALTH_VIEWS, *CLIENT_SUCCESS_VIEWS)
}
GROUPS = tuple(dict.fromkeys(table.group for table in TABLES.values() if table.cadence))
