"""Tables that record what runs met, beside the results. Rule: source-contract.md, "What bad input gets"."""

from __future__ import annotations

from health_pipeline.tables.declare import Column, Table, Type, instant, text

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
        Column("row", Type.JSON, "The row's values by contract column."),
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

RECORD_TABLES = (QUARANTINED_ROWS, POLICIES, VIEW_DEFINITIONS)
