"""The daily tables of the tenant-health system. Rule: tenant-health.md."""

from __future__ import annotations

from health_pipeline.tables.declare import (
    METRIC_DATE,
    TENANT_ID,
    Column,
    Table,
    Type,
    count,
    day,
    figure,
    instant,
    score,
    text,
)

GROUP = "tenant_health"

USAGE_METRICS = Table(
    "usage_metrics",
    "A tenant active at the end of the day, with its figures of that day. Null: the source table is not mapped.",
    ("metric_date", "tenant_id"),
    (
        METRIC_DATE,
        TENANT_ID,
        count("total_users", "Users active at end(D).", unit="users"),
        count("active_users", "Of those, with a login in the 30 days at D.", unit="users"),
        count("daily_active_users", "Of those, with a login on D.", unit="users"),
        count("cases_created", "Cases created on D.", nullable=True, unit="cases"),
        count("cases_closed", "Cases closed on D.", nullable=True, unit="cases"),
        count("cases_closed_on_time", "Cases closed on D in time.", nullable=True, unit="cases"),
        count("cases_overdue", "Cases open at end(D) and past their due date.", nullable=True, unit="cases"),
        count("cases_closed_30d", "Cases closed in the 30 days at D.", nullable=True, unit="cases"),
        count("cases_closed_on_time_30d", "Cases closed in time in the 30 days at D.", nullable=True, unit="cases"),
        count("campaigns_active", "Campaigns running at end(D).", nullable=True, unit="campaigns"),
        count("campaigns_completed", "Campaigns ended on D.", nullable=True, unit="campaigns"),
        count("assignments_total", "Assignments made before end(D).", nullable=True, unit="assignments"),
        count("assignments_completed", "Of those, completed before end(D).", nullable=True, unit="assignments"),
        count("support_tickets", "Tickets opened in the 30 days at D.", nullable=True, unit="tickets"),
        count("reports_generated", "report_generated events on D.", unit="events"),
        count("searches_performed", "search_performed events on D.", unit="events"),
        count("api_calls", "api_call events on D.", unit="events"),
    ),
    GROUP,
    "daily",
    (("tenant_id", "metric_date"),),
)

FEATURE_ADOPTION = Table(
    "feature_adoption",
    "A tenant active at the end of the day and a tracked feature of the policy.",
    ("metric_date", "tenant_id", "feature_key"),
    (
        METRIC_DATE,
        TENANT_ID,
        text("feature_key", "The tracked feature."),
        text("category", "The feature's category in the policy's catalogue."),
        Column("is_enabled", Type.BOOLEAN, "Entitled at end(D); true where entitlements are not mapped."),
        Column("is_adopted", Type.BOOLEAN, "Used at least once before end(D)."),
        instant("first_used_at", "The first use before end(D).", nullable=True),
        instant("last_used_at", "The last use before end(D).", nullable=True),
        count("usage_count", "All uses before end(D), entitled or not.", unit="events"),
        count("usage_count_30d", "Uses in the 30 days at D.", unit="events"),
    ),
    GROUP,
    "daily",
    retention=(
        "Every day is kept for as many days as `HEALTH_FEATURE_ADOPTION_DAYS` says (62 or more; for ever where it isn't set),"
        " of older months only the last day."
    ),
)

RISK_LEVELS = ("LOW", "MEDIUM", "HIGH")
ALERT_LEVELS = ("NONE", "DASHBOARD_ONLY", "PROACTIVE")
TRENDS = ("IMPROVING", "STABLE", "DECLINING")

TENANT_HEALTH_SCORES = Table(
    "tenant_health_scores",
    "A tenant active at the end of the day, scored under one policy.",
    ("metric_date", "tenant_id"),
    (
        METRIC_DATE,
        TENANT_ID,
        score("login_score", "Share of users active in 30 days, against its target. Null: not measured."),
        score(
            "case_resolution_score", "Share of cases closed on time in 30 days, against its target. Null: not measured."
        ),
        score("campaign_completion_score", "Share of assignments completed, against its target. Null: not measured."),
        score("feature_adoption_score", "Share of tracked features adopted, against its target. Null: not measured."),
        score("support_ticket_score", "100 less a deduction per ticket of the 30 days at D. Null: not measured."),
        score("overall_score", "Weighted mean of the measured components, rounded half up. Null: nothing measured."),
        Column("coverage", Type.FLOAT, "Weight that was measured / all weights.", unit="share", minimum=0, maximum=1),
        score("previous_score", "overall_score so many days before as the policy's lag says. Null: not active then."),
        Column(
            "score_change",
            Type.INTEGER,
            "overall_score - previous_score.",
            unit="points",
            nullable=True,
            minimum=-100,
            maximum=100,
        ),
        text(
            "trend",
            "IMPROVING or DECLINING when the change is beyond the policy's threshold, else STABLE.",
            one_of=TRENDS,
        ),
        text("risk_level", "LOW, MEDIUM or HIGH. Null without a score.", nullable=True, one_of=RISK_LEVELS),
        text(
            "alert_level",
            "How loudly to tell people about the risk. Null without a score.",
            nullable=True,
            one_of=ALERT_LEVELS,
        ),
        text("policy_version", "Hash of the policy that scored the row; policies.policy has its text."),
    ),
    GROUP,
    "daily",
    (("tenant_id", "metric_date"),),
)

PEER_METRICS = (
    "overall_score",
    "login_score",
    "case_resolution_score",
    "campaign_completion_score",
    "feature_adoption_score",
    "support_ticket_score",
    "active_user_ratio",
)

PEER_BENCHMARKS = Table(
    "peer_benchmarks",
    "A metric over a cohort of the tenants active at the end of the day. A suppressed row carries no figure.",
    ("metric_date", "metric_name", "industry_sector", "employee_band"),
    (
        METRIC_DATE,
        text(
            "metric_name", "The score's column, or active_user_ratio (active_users / total_users).", one_of=PEER_METRICS
        ),
        text("industry_sector", "The cohort's sector; ALL where not split."),
        text("employee_band", "The cohort's size band; ALL where not split."),
        Column(
            "employee_min",
            Type.BIGINT,
            "Smallest size in the band. Null for ALL.",
            unit="employees",
            nullable=True,
            minimum=1,
        ),
        Column(
            "employee_max",
            Type.BIGINT,
            "Largest size in the band. Null for ALL and open-ended.",
            unit="employees",
            nullable=True,
            minimum=1,
        ),
        count("peer_count", "Tenants of the cohort with a value. Null: suppressed.", nullable=True, unit="tenants"),
        figure("p25", "25th percentile, interpolated linearly. Null: suppressed.", minimum=0, maximum=100),
        figure("median", "Median. Null: suppressed.", minimum=0, maximum=100),
        figure("p75", "75th percentile, interpolated linearly. Null: suppressed.", minimum=0, maximum=100),
        figure("mean", "Mean. Null: suppressed.", minimum=0, maximum=100),
        figure(
            "min_value",
            "Minimum. Null: suppressed, or fewer peers than the policy asks for extremes.",
            minimum=0,
            maximum=100,
        ),
        figure(
            "max_value",
            "Maximum. Null: suppressed, or fewer peers than the policy asks for extremes.",
            minimum=0,
            maximum=100,
        ),
        Column("is_suppressed", Type.BOOLEAN, "No figure is given, because it could tell about a single tenant."),
    ),
    GROUP,
    "daily",
)

# From the widest to the narrowest, which is how tenant_peer_ranks numbers them.
PEER_COHORTS = ("all", "band", "sector", "sector and band")

TENANT_PEER_RANKS = Table(
    "tenant_peer_ranks",
    "A tenant active at the end of the day, with its place among its peers; tenant_peer_comparison shows it in full.",
    ("metric_date", "tenant_id"),
    (
        METRIC_DATE,
        TENANT_ID,
        *(
            figure(
                f"{metric}_rank",
                f"Share of the other peers below the tenant in {metric}, ties counting half. Null: no other, no value, or"
                " no published cohort.",
                unit="percent",
                minimum=0,
                maximum=100,
            )
            for metric in PEER_METRICS
        ),
        *(
            Column(
                f"{metric}_cohort",
                Type.INTEGER,
                f"The tenant's narrowest cohort published for {metric}: 0 all tenants, 1 its size band, 2 its sector, 3"
                " both. Null: no value, or no published cohort.",
                nullable=True,
                minimum=0,
                maximum=len(PEER_COHORTS) - 1,
            )
            for metric in PEER_METRICS
        ),
    ),
    GROUP,
    "daily",
)

TENANT_PROFILES = Table(
    "tenant_profiles",
    "A tenant active at the end of the day, with the attributes that the run found in the source.",
    ("metric_date", "tenant_id"),
    (
        METRIC_DATE,
        TENANT_ID,
        text("name", "The tenant's name."),
        text("slug", "The tenant's slug.", nullable=True),
        text("industry_sector", "The tenant's sector. Null: unknown.", nullable=True),
        Column(
            "employee_count",
            Type.BIGINT,
            "The tenant's size. Null: unknown.",
            unit="employees",
            nullable=True,
            minimum=1,
        ),
        text("employee_band", "The policy's size band of employee_count. Null: unknown.", nullable=True),
        day("renewal_date", "The day on which the contract renews.", nullable=True),
    ),
    GROUP,
    "daily",
    (("tenant_id", "metric_date"),),
)

TENANT_HEALTH_TABLES = (
    TENANT_PROFILES,
    USAGE_METRICS,
    FEATURE_ADOPTION,
    TENANT_HEALTH_SCORES,
    PEER_BENCHMARKS,
    TENANT_PEER_RANKS,
)

# Each row of these rests on many tenants.
PEER_TABLES = (PEER_BENCHMARKS, TENANT_PEER_RANKS)
