"""tenant_profiles: a tenant's attributes in the form that cohorts and views use. Rule: source-contract.md, "Who belongs to whom"."""

from __future__ import annotations

import pandas as pd

from health_pipeline.scoring.peer_benchmarks import PeerRules, employee_band

LONGEST_TEXT = 255  # characters
LARGEST_SIZE = 2**31 - 1


def tenant_profiles(tenant_days: pd.DataFrame, tenants: pd.DataFrame, rules: PeerRules) -> pd.DataFrame:
    """Rows of tenant_profiles; grain: metric_date and tenant, one for each row of `tenant_days` (metric_date, tenant_id).

    tenants: the good rows of the source table. A blank sector, one named ALL, and a size below 1 are unknown (null), and so
    are a sector too long for a key and a size beyond any. A longer name or slug is cut: every day of the tenant has it.
    """
    known = tenants[["tenant_id", "renewal_date"]].copy()
    for name in ("name", "slug"):
        known[name] = tenants[name].str.slice(0, LONGEST_TEXT)
    sector = tenants["industry_sector"]
    is_unknown = sector.isna() | (sector.str.strip() == "") | (sector == "ALL") | (sector.str.len() > LONGEST_TEXT)
    known["industry_sector"] = sector.mask(is_unknown)
    size = tenants["employee_count"]
    known["employee_count"] = size.where(size.between(1, LARGEST_SIZE)).astype("Int64")
    known["employee_band"] = employee_band(known["employee_count"], rules.size_bands)
    return tenant_days.merge(known, on="tenant_id", how="left", validate="many_to_one")
