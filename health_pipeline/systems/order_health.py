"""Order health for a range of days: read the source once, compute the eras of the range, write it in one transaction.

Rule: order-health.md. The range gives exactly the rows of its days run one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa

from health_pipeline.days import DAY, EARLIEST_EXACT_DAY, DayRange, sunday_of
from health_pipeline.metrics.orders import (
    COUNTS,
    MODEL_DAYS,
    OrderInputs,
    counts_per_day,
    customer_order_days,
    order_eras,
    purchase_histories,
)
from health_pipeline.scoring.purchase_model import (
    HISTORY,
    PARAMETERS,
    expected_orders,
    fitted_models,
    probability_alive,
)
from health_pipeline.sources import contract
from health_pipeline.sources.reader import SourceReader
from health_pipeline.systems.common import ROWS_PER_BATCH, ReadFacts, tenant_named, writing_system
from health_pipeline.systems.context import RunContext
from health_pipeline.tables import order_health as tables
from health_pipeline.tables.frames import as_arrow, as_frame, validated
from health_pipeline.warehouse.writer import Writer


@dataclass(frozen=True)
class OrderFacts(ReadFacts):
    """What a run found out, as counts.

    is_mapped: whether the source has both customers and orders; without one there are no rows. counts_per_day: by day
    the COUNTS of metrics/orders.py.
    """

    is_mapped: bool
    counts_per_day: dict[date, dict[str, int]]


@dataclass(frozen=True)
class OrderHealth:
    """The computed range. Its rows stay in the engine, as an expression per piece of days; None: not mapped.

    models: rows of purchase_model_parameters, for the Sundays that the range needs.
    """

    days: DayRange
    eras: ir.Table | None
    models: pd.DataFrame
    facts: OrderFacts


def run_order_health(
    context: RunContext, days: DayRange, names: frozenset[str], tenant: str | None = None
) -> OrderHealth:
    """Compute the range and replace it in customer_order_health, if that is named, in one transaction with the models.

    tenant: an id or slug; only its rows are replaced then. Raises UserError for anything a user has to mend; then
    nothing was written but records of bad rows.
    """
    with context.reading() as reader:
        tenant_id = None if tenant is None else tenant_named(reader, tenant)
        result = compute_order_health(reader, context, days, tenant_id)
        if tables.CUSTOMER_ORDER_HEALTH.name in names:
            chosen = tables.ORDER_HEALTH_TABLES
            with writing_system(context, tables.GROUP, chosen, days, result.facts, tenant_id) as writer:
                writer.replace(tables.CUSTOMER_ORDER_HEALTH, days, _rows(result, context), tenant_id)
                _replace_models(writer, result, tenant_id)
        return result


def compute_order_health(
    reader: SourceReader, context: RunContext, days: DayRange, tenant_id: str | None = None
) -> OrderHealth:
    """The eras, the models and the counts of the range, of one tenant or of all, from one snapshot of the source.

    Raises TooManyBadRows before anything is computed.
    """
    tenants, customers, orders = _read(reader)
    reader.check_share(context.max_bad_share)
    if customers is None or orders is None:
        facts = OrderFacts.of(reader, is_mapped=False, counts_per_day={day: dict.fromkeys(COUNTS, 0) for day in days})
        return OrderHealth(days, None, _models(None, context, days), facts)
    if tenant_id is not None:
        customers = customers.filter(customers.tenant_id == tenant_id)
    policy = context.policy.order_health
    inputs = OrderInputs(tenants, customers, orders, _lookback(orders, days))
    eras = reader.connector.engine.create_table(
        ibis.util.gen_name("eras"), order_eras(inputs, policy, context.calendar, days), temp=True
    )
    counted = counts_per_day(customer_order_days(eras, policy, days, days)).to_pyarrow().to_pylist()
    found = {row.pop("metric_date"): row for row in counted}
    counts = {day: found.get(day, dict.fromkeys(COUNTS, 0)) for day in days}
    facts = OrderFacts.of(reader, is_mapped=True, counts_per_day=counts)
    return OrderHealth(days, eras, _models(eras, context, days), facts)


def _read(reader: SourceReader) -> tuple[ir.Table, ir.Table | None, ir.Table | None]:
    tenants = reader.read(contract.TENANTS)
    assert tenants is not None  # a required table; check() has seen it
    customers = reader.read(contract.CUSTOMERS, columns=["sales_rep_id", "deactivated_at"])
    orders = reader.read(contract.ORDERS, columns=["status", "total_amount"])
    return tenants, customers, orders


def _lookback(orders: ir.Table, days: DayRange) -> int:
    """How many days before the range the first delivery lies, and the first day that the purchase model may need."""
    earliest = orders.delivered_at.min().to_pyarrow().as_py()
    first = max(earliest.date(), EARLIEST_EXACT_DAY) - DAY if earliest else days.first
    return max(MODEL_DAYS, (days.first - first).days)


def _models(eras: ir.Table | None, context: RunContext, days: DayRange) -> pd.DataFrame:
    """Rows of purchase_model_parameters for the Sundays on or before the days; none where the policy switches it off."""
    rules = context.policy.order_health.purchase_model
    table = tables.PURCHASE_MODEL_PARAMETERS
    if eras is None or not rules.is_enabled:
        return as_frame(table, pd.DataFrame({name: [] for name in table.column_names}))
    sundays = sorted({sunday_of(day) for day in days})
    model_days = ibis.memtable(
        {"model_date": sundays, "day": [(sunday - days.first).days for sunday in sundays]},
        schema={"model_date": "date", "day": "int64"},
    )
    histories = purchase_histories(eras, model_days).to_pandas()
    return as_frame(table, fitted_models(histories, rules.min_repeat_buyers))


def _rows(result: OrderHealth, context: RunContext) -> Iterator[pa.Table]:
    """The rows of customer_order_health in batches of whole days, each validated before it is handed to the writer."""
    if result.eras is None:
        return
    table = tables.CUSTOMER_ORDER_HEALTH
    per_day = max(counts["customers"] for counts in result.facts.counts_per_day.values())
    for piece in result.days.chunks(max(1, ROWS_PER_BATCH // max(1, per_day))):
        rows = customer_order_days(result.eras, context.policy.order_health, result.days, piece)
        told = _with_outlook(_with_parameters(rows, result).to_pyarrow())
        yield as_arrow(table, validated(table, as_frame(table, told)))


def _with_parameters(rows: ir.Table, result: OrderHealth) -> ir.Table:
    """With the parameters of the model that the row's tenant has on its day; null without one."""
    model_dates = {day: sunday_of(day) for day in result.days}
    model_days = ibis.memtable(
        {"metric_date": list(model_dates), "model_date": list(model_dates.values())},
        schema={"metric_date": "date", "model_date": "date"},
    )
    models = ibis.memtable(as_arrow(tables.PURCHASE_MODEL_PARAMETERS, result.models))
    dated = rows.inner_join(model_days, "metric_date")
    joined = dated.left_join(models, ["model_date", "tenant_id"])
    return joined.select(*(dated[name] for name in rows.columns), *(models[name] for name in PARAMETERS))


def _with_outlook(rows: pa.Table) -> pa.Table:
    """With what the purchase model tells of each customer."""
    parameters, history = (
        np.array([rows[name].to_numpy().astype(np.float64) for name in names]) for names in (PARAMETERS, HISTORY)
    )
    told = {
        "probability_alive": probability_alive(parameters, *history),
        "expected_orders_90d": expected_orders(parameters, *history),
    }
    for name, values in told.items():
        rows = rows.append_column(name, pa.array(values, pa.float64(), from_pandas=True))
    return rows


def _replace_models(writer: Writer, result: OrderHealth, tenant_id: str | None) -> None:
    """Write the models instead of those that stand there for the same Sundays, of one tenant or of all."""
    table = tables.PURCHASE_MODEL_PARAMETERS
    models = as_arrow(table, validated(table, as_frame(table, result.models)))
    writer.replace(table, DayRange(sunday_of(result.days.first), result.days.last), [models], tenant_id)
