"""Tables that record what runs met, beside the results. Rule: source-contract.md, "What bad input gets"."""

from __future__ import annotations

from health_pipeline.tables.declare import METRIC_DATE, TENANT_ID, Column, Table, Type, count, day, instant, score, text

GROUP = "records"

QUARANTINED_ROWS = Table(
    "quarantined_rows",
    "A bad source row, however many runs met it. Left out of every computation, never lost.",
    ("quarantine_id",),
    (
        text("quarantine_id", "Hash of the source table, the row's values and, among equal rows, its number."),
        text("source_table", "The logical source table."),
        text("row_key", "The row's key as text, its parts joined by |. Null without one.", nullable=True),
        text("reason", "The row's first fault."),
        Column("row", Type.JSON, "The row's values by contract column.", has_addresses=True),
        instant("first_recorded_at", "When a run first met the row."),
        instant("last_recorded_at", "When a run last met the row."),
        text("run_id", "The run that met it last."),
    ),
    GROUP,
    indexes=(("source_table", "last_recorded_at"),),
)

POLICIES = Table(
    "policies",
    "A version of the tenant-health policy that scored at least one row.",
    ("policy_version",),
    (
        text("policy_version", "Hash of the policy."),
        Column("policy", Type.JSON, "The policy's values."),
        *(
            Column(f"{name}_weight", Type.NUMERIC, f"Weight of {name}, an exact whole number.", unit="parts", minimum=0)
            for name in (
                "login_score",
                "case_resolution_score",
                "campaign_completion_score",
                "feature_adoption_score",
                "support_ticket_score",
            )
        ),
        instant("first_used_at", "When a run first used it."),
    ),
    GROUP,
)

VIEW_DEFINITIONS = Table(
    "view_definitions",
    "A view of this schema, as `migrate` last created it.",
    ("view_name",),
    (
        text("view_name", "The view."),
        text("definition_hash", "Hash of its SQL and comments; `migrate` recreates the views when one differs."),
        instant("applied_at", "When it was created."),
    ),
    GROUP,
)

_RUN_ID = text("run_id", "The Dagster run.")

SCORE_RESTATEMENTS = Table(
    "score_restatements",
    "A published overall_score that a later run changed: late facts, or another policy.",
    ("metric_date", "tenant_id", "restated_at"),
    (
        METRIC_DATE,
        TENANT_ID,
        score("old_score", "The score that was published. Null: none was."),
        score("new_score", "The score that stands instead. Null: none, or the tenant has no row on that day any more."),
        text("old_policy_version", "The policy of the old score."),
        text("new_policy_version", "The policy of the new one. Null without a row.", nullable=True),
        _RUN_ID,
        instant("restated_at", "The clock of that run."),
    ),
    GROUP,
    indexes=(("tenant_id", "metric_date"),),
)

SOURCE_FRESHNESS = Table(
    "source_freshness",
    "A source table as a run of a system found it.",
    ("run_id", "system", "source_table"),
    (
        _RUN_ID,
        text("system", "What ran: the asset group's step."),
        text("source_table", "The logical source table."),
        day("first_day", "The first day that the run computed."),
        day("last_day", "The last day that it computed."),
        instant(
            "newest_fact_at", "The table's newest fact then, facts of the future aside. Null: none.", nullable=True
        ),
        Column(
            "is_stopped",
            Type.BOOLEAN,
            "Nothing for 36 hours, and for longer than at any time in the 28 days before: see metrics/freshness.py.",
        ),
        instant("recorded_at", "The run's clock."),
    ),
    GROUP,
    indexes=(("source_table", "recorded_at"), ("last_day",)),
)

UNSCORED_TENANTS = Table(
    "unscored_tenants",
    "A tenant without a score on a day. It is never taken for healthy.",
    ("metric_date", "tenant_id"),
    (
        METRIC_DATE,
        TENANT_ID,
        text(
            "reason",
            "Why: nothing was measured, its source row is bad, or a row computed for it breaks its table's rules.",
        ),
    ),
    GROUP,
)

FEATURE_USE_BASE = Table(
    "feature_use_base",
    "All uses of a feature by a tenant before the end of a day, which nights go on from instead of reading them again.",
    ("tenant_id", "feature_key"),
    (
        TENANT_ID,
        text("feature_key", "The tracked feature."),
        count("uses", "All uses before end(as_of), entitled or not.", unit="events"),
        instant("first_used_at", "The first of them."),
        instant("last_used_at", "The last of them."),
    ),
    GROUP,
)

FEATURE_USE_BASES = Table(
    "feature_use_bases",
    "What feature_use_base was made from; at most one row.",
    ("fingerprint",),
    (
        text(
            "fingerprint", "Hash of source, mapping, zone, tracked features and code: with another one it is of no use."
        ),
        day("as_of", "The day at whose end the uses were counted."),
        instant("computed_at", "The clock of the run that counted them, from the whole history."),
        _RUN_ID,
    ),
    GROUP,
)

NOTIFICATION_KINDS = ("failed_run", "stopped_source", "high_risk")
NOTIFICATION_CHANNELS = ("webhook", "mail")
NOTIFICATION_STATUSES = ("reserved", "sent", "refused")

NOTIFICATIONS = Table(
    "notifications",
    "Something that people were told, or are to be told, over one channel, once per event.",
    ("event_key", "channel"),
    (
        text("event_key", "The event: its kind and what it is of."),
        text("channel", "How people are told.", one_of=NOTIFICATION_CHANNELS),
        text("kind", "What happened.", one_of=NOTIFICATION_KINDS),
        text("tenant_id", "The tenant of high_risk.", nullable=True),
        instant("since", "Since when it is so."),
        text("message", "What was said of it."),
        text(
            "status",
            "reserved: begun and not confirmed, so the outcome is unknown and it is never sent again; sent; refused: not"
            " delivered, tried again after a wait that doubles, while it is so.",
            one_of=NOTIFICATION_STATUSES,
        ),
        count("attempts", "How often it was tried."),
        instant("reserved_at", "When the last try began, before anything was sent."),
        instant("sent_at", "When the other side had taken it.", nullable=True),
        # Mail servers repeat the address.
        Column("error", Type.TEXT, "Why it was refused.", nullable=True, has_addresses=True),
    ),
    GROUP,
    indexes=(("tenant_id", "since"),),
)

ROLE_DEFINITIONS = Table(
    "role_definitions",
    "What `migrate` last granted, so that it grants anew when that changes.",
    ("definition_hash",),
    (
        text("definition_hash", "Hash of all grants and row policies."),
        instant("applied_at", "When they were given."),
    ),
    GROUP,
)

RECORD_TABLES = (
    QUARANTINED_ROWS,
    POLICIES,
    VIEW_DEFINITIONS,
    SCORE_RESTATEMENTS,
    SOURCE_FRESHNESS,
    UNSCORED_TENANTS,
    FEATURE_USE_BASE,
    FEATURE_USE_BASES,
    NOTIFICATIONS,
    ROLE_DEFINITIONS,
)
