"""The views of the client-success system. Rule: client-success.md. Their SQL stands in warehouse/views/NAME.sql."""

from __future__ import annotations

from health_pipeline.tables.client_success import GROUP
from health_pipeline.tables.declare import View

_TENANT_ID = ("tenant_id", "The tenant.")
_CLIENT_ID = ("client_id", "The client: a user of the tenant.")

CLIENT_SUCCESS_VIEWS: tuple[View, ...] = (
    View(
        "client_activity_heatmap",
        "A client that was ever active, and a day of the 30 up to the newest partition, whether it did anything or not.",
        (
            ("activity_date", "The day."),
            _TENANT_ID,
            _CLIENT_ID,
            ("events", "Events on the day; 0 with none."),
            ("high_value_events", "Of those, of a high-value type."),
        ),
        GROUP,
    ),
    View(
        "momentum_alerts",
        "An episode: an alert from its opening until it is resolved, however many days it goes on.",
        (
            ("alert_key", "The episode's key, by which people acknowledge it. Always the same for the same episode."),
            _TENANT_ID,
            _CLIENT_ID,
            ("alert_type", "What is wrong."),
            ("subject_id", "What it is about: the task of task_stalled, else empty."),
            ("severity", "How bad it was at its worst."),
            ("opened_on", "The day on which it opened."),
            ("last_seen_on", "The newest partition that has it."),
            ("resolved_on", "The first later partition without it. Null: not resolved."),
            ("status", "open, acknowledged or resolved."),
            ("acknowledged_by", "Who acknowledged it. Null: nobody."),
            ("acknowledged_at", "When."),
            ("note", "What they had to say."),
        ),
        GROUP,
    ),
    View(
        "open_alerts",
        "A tenant with unresolved alerts in the newest partition.",
        (
            ("metric_date", "The newest partition."),
            _TENANT_ID,
            ("open_alerts", "Unresolved alerts that nobody has acknowledged."),
            ("critical_alerts", "Of those, critical ones."),
            ("warning_alerts", "Of those, warnings."),
            ("acknowledged_alerts", "Unresolved alerts that somebody has acknowledged."),
        ),
        GROUP,
    ),
    View(
        "insight_status",
        "An insight, with what was done with it.",
        (
            ("insight_key", "The insight's key, by which people mark it. Always the same for the same insight."),
            ("metric_date", "The Sunday."),
            _TENANT_ID,
            _CLIENT_ID,
            ("rule_id", "The rule that fired."),
            ("insight_type", "The kind of insight."),
            ("priority", "How much it matters."),
            ("title", "What it says, in a few words."),
            ("body", "What it says."),
            ("valid_until", "The day from which it is out of date."),
            ("read_at", "When it was read. Null: not yet."),
            ("read_by", "By whom."),
            ("dismissed_at", "When it was dismissed. Null: it wasn't."),
            ("dismissed_by", "By whom."),
            ("acted_on_at", "When it was acted on. Null: not yet."),
            ("acted_on_by", "By whom."),
        ),
        GROUP,
    ),
)
