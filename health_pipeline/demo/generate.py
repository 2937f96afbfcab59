"""All twelve tables of the demo application, from a seed."""

import datetime

import numpy as np
import pyarrow as pa

from health_pipeline.demo.activity import events
from health_pipeline.demo.buyers import orders, plan_customers
from health_pipeline.demo.clients import feedback, onboarding_tasks, plan_users
from health_pipeline.demo.contract import SCHEMAS
from health_pipeline.demo.faults import add_faults
from health_pipeline.demo.features import entitlements, plan_features
from health_pipeline.demo.sampling import Window
from health_pipeline.demo.tenants import plan_tenants
from health_pipeline.demo.work import campaigns, cases, support_tickets


def generate(*, tenants: int, days: int, seed: int, last_day: datetime.date) -> dict[str, pa.Table]:
    """The demo application's data: a table for each logical table of source-contract.md, in its order.

    `tenants` customer organisations with `days` UTC days of facts, the newest of them `last_day`; orders reach back up
    to two years, and tenants, users and customers may be older still. The same arguments give the same bytes. A few bad
    rows are there on purpose (faults.py). Raises ValueError for fewer than one tenant or day, or a negative seed.
    """
    if tenants < 1 or days < 1 or seed < 0:
        raise ValueError(
            f"needs at least one tenant and one day, and a seed of 0 or more: {tenants=}, {days=}, {seed=}"
        )
    window = Window(last_day, days)
    # A stream of random numbers per subject, so that one that draws more leaves the others as they are.
    rng = iter(np.random.default_rng(seed).spawn(12))
    tenant_plan = plan_tenants(next(rng), window, tenants)
    features = plan_features(next(rng), tenant_plan)
    users = plan_users(next(rng), window, tenant_plan)
    activity = events(next(rng), window, tenant_plan, users, features)
    customers = plan_customers(next(rng), window, tenant_plan, users)
    campaign_table, assignments = campaigns(next(rng), window, tenant_plan, users)
    tables = {
        "tenants": tenant_plan.table,
        "users": users.table,
        "events": activity.table,
        "cases": cases(next(rng), window, tenant_plan),
        "campaigns": campaign_table,
        "campaign_assignments": assignments,
        "feature_entitlements": entitlements(next(rng), window, tenant_plan, features),
        "support_tickets": support_tickets(next(rng), window, tenant_plan),
        "customers": customers.table,
        "orders": orders(next(rng), window, tenant_plan, customers),
        "onboarding_tasks": onboarding_tasks(next(rng), window, tenant_plan, users),
        "feedback": feedback(next(rng), window, tenant_plan, users, activity.feedback_user, activity.feedback_at),
    }
    return add_faults({name: tables[name].combine_chunks() for name in SCHEMAS})
