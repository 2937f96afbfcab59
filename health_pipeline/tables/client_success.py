"""The tables of the client-success system. Rule: client-success.md. A client is a user; client_id is the user_id."""

from __future__ import annotations

from health_pipeline.tables.declare import (
    METRIC_DATE,
    TENANT_ID,
    Column,
    Table,
    Type,
    address,
    count,
    day,
    instant,
    score,
    text,
)

GROUP = "client_success"

CLIENT_ID = text("client_id", "The client: a user of the tenant.")
SUNDAY = day("metric_date", "The Sunday; the row holds at its 00:00, and its week is the 7 days before.")

CLIENT_ENGAGEMENT = Table(
    "client_engagement",
    "A client, created before the end of the day, and what it did on the day. Only days with activity have a row.",
    ("metric_date", "client_id"),
    (
        METRIC_DATE,
        TENANT_ID,
        CLIENT_ID,
        count("events", "Events of every type on D.", unit="events"),
        count("high_value_events", "Of those, of a high-value type.", unit="events"),
        count("sessions", "Distinct sessions on D. Null: the column is not mapped.", nullable=True, unit="sessions"),
        Column(
            "duration_seconds",
            Type.BIGINT,
            "Sum of the known durations, 0 with none. Null: the column is not mapped.",
            unit="seconds",
            nullable=True,
        ),
        Column("event_counts", Type.JSON, "Events on D by event type."),
    ),
    GROUP,
    "daily",
    (("tenant_id", "metric_date"), ("client_id", "metric_date")),
)

BANDS = ("EXCELLENT", "GOOD", "NEEDS_ATTENTION", "AT_RISK")
CLIENT_TRENDS = ("RISING", "STABLE", "DECLINING")
COMPONENTS = ("engagement_score", "activation_score", "progress_score", "satisfaction_score", "momentum_score")

CLIENT_SUCCESS_SCORES = Table(
    "client_success_scores",
    "A client active at 00:00 of the Sunday, with its scores.",
    ("metric_date", "client_id"),
    (
        SUNDAY,
        TENANT_ID,
        CLIENT_ID,
        score("engagement_score", "Active days, events and high-value events of the week.", nullable=False),
        score("activation_score", "Onboarding tasks completed and launch kit viewed. Null: no task counts."),
        score("progress_score", "Content and visuals made in the last weeks.", nullable=False),
        score("satisfaction_score", "Mean feedback of the last months. Null: none."),
        score("momentum_score", "Events of the week against the week before. Null: too few in both."),
        score("overall_score", "Weighted mean of the measured components, rounded half up.", nullable=False),
        Column("coverage", Type.FLOAT, "Weight that was measured / all weights.", unit="share", minimum=0, maximum=1),
        text("band", "What overall_score means.", one_of=BANDS),
        score("previous_score", "overall_score of the Sunday before. Null: not active then."),
        text("trend", "RISING or DECLINING when the change reaches the policy's threshold.", one_of=CLIENT_TRENDS),
    ),
    GROUP,
    "weekly",
    (("tenant_id", "metric_date"), ("client_id", "metric_date")),
)

INSIGHT_TYPES = ("weekly_summary", "achievement", "milestone", "recommendation", "tip")
PRIORITIES = ("HIGH", "MEDIUM", "LOW")

CLIENT_INSIGHTS = Table(
    "client_insights",
    "A client of client_success_scores and a rule that fired for it.",
    ("metric_date", "client_id", "rule_id"),
    (
        SUNDAY,
        TENANT_ID,
        CLIENT_ID,
        text("rule_id", "The rule that fired."),
        text("insight_type", "The kind of insight.", one_of=INSIGHT_TYPES),
        text("title", "What it says, in a few words."),
        text("body", "What it says."),
        text("priority", "How much it matters.", one_of=PRIORITIES),
        day("valid_until", "The day from which it is out of date."),
        Column("numbers", Type.JSON, "The figures behind the text."),
    ),
    GROUP,
    "weekly",
    (("tenant_id", "metric_date"), ("client_id", "metric_date")),
)

ALERT_TYPES = ("inactivity", "zero_activity", "task_stalled", "score_drop", "churn_risk")
SEVERITIES = ("warning", "critical")
SUBJECT_ID = text("subject_id", "What it is about: the task of task_stalled, else empty.")
OPENED_ON = day("opened_on", "The day of the instant at which it opened; the same in all snapshots of an episode.")

CLIENT_MOMENTUM_ALERTS = Table(
    "client_momentum_alerts",
    "An alert that is open at the end of the day, of a client active then.",
    ("metric_date", "client_id", "alert_type", "subject_id"),
    (
        METRIC_DATE,
        TENANT_ID,
        CLIENT_ID,
        text("alert_type", "What is wrong.", one_of=ALERT_TYPES),
        SUBJECT_ID,
        text("severity", "How bad it is.", one_of=SEVERITIES),
        OPENED_ON,
    ),
    GROUP,
    "daily",
    (("tenant_id", "metric_date"), ("client_id", "opened_on"), ("opened_on",)),
)

CLIENT_SUCCESS_EMAILS = Table(
    "client_success_emails",
    "The weekly mail to a client of client_success_scores that wants it and has an address: an outbox.",
    ("metric_date", "client_id"),
    (
        SUNDAY,
        TENANT_ID,
        CLIENT_ID,
        address("email", "The address, as it stands in the source."),
        text("subject", "The mail's subject."),
        # They greet by the name that the source has, which in many applications is the address.
        Column("html", Type.TEXT, "The mail as HTML.", has_addresses=True),
        Column("plain_text", Type.TEXT, "The mail as plain text.", has_addresses=True),
    ),
    GROUP,
    "weekly",
    (("tenant_id", "metric_date"),),
)

# Written in the same transaction as the alerts: a day on which nothing is open has no rows to tell that it was computed.
ALERT_SNAPSHOTS = Table(
    "alert_snapshots",
    "A day whose client_momentum_alerts were computed, also when nothing was open.",
    ("metric_date",),
    (METRIC_DATE, instant("computed_at", "The clock of the run that computed it last.")),
    GROUP,
)

ALERT_ACTIONS = Table(
    "alert_actions",
    "An alert episode that somebody acknowledged. People write it; no run ever does.",
    ("alert_key",),
    (
        text("alert_key", "The episode, as momentum_alerts shows it."),
        TENANT_ID,
        CLIENT_ID,
        text("alert_type", "What was wrong.", one_of=ALERT_TYPES),
        SUBJECT_ID,
        OPENED_ON,
        text("acknowledged_by", "Who acknowledged it."),
        instant("acknowledged_at", "When."),
        text("note", "What they had to say.", nullable=True),
    ),
    GROUP,
)

INSIGHT_ACTION_KINDS = ("read", "dismissed", "acted_on")

INSIGHT_ACTIONS = Table(
    "insight_actions",
    "Something that was done with an insight, once per kind of action. People write it; no run ever does.",
    ("insight_key", "action"),
    (
        text("insight_key", "The insight, as insight_status shows it."),
        text("action", "What was done.", one_of=INSIGHT_ACTION_KINDS),
        SUNDAY,
        TENANT_ID,
        CLIENT_ID,
        text("rule_id", "The insight's rule."),
        text("acted_by", "Who did it."),
        instant("acted_at", "When."),
    ),
    GROUP,
)

DELIVERY_STATUSES = ("reserved", "sent", "failed", "deferred")

EMAIL_DELIVERIES = Table(
    "email_deliveries",
    "A weekly mail whose delivery was begun, at most once per client and week. Only the delivery writes it, no run does.",
    ("metric_date", "client_id"),
    (
        SUNDAY,
        TENANT_ID,
        CLIENT_ID,
        address("email", "The address that it went to."),
        text("message_id", "The mail's Message-ID header, by which mail servers report on it."),
        text(
            "status",
            "reserved: begun and not confirmed, so the outcome is unknown and it is never sent again; sent; failed: refused"
            " for good; deferred: refused for now, the next delivery of the week tries again.",
            one_of=DELIVERY_STATUSES,
        ),
        instant("reserved_at", "When the delivery was begun, before anything was sent."),
        instant("sent_at", "When the mail server, or the folder, had taken it.", nullable=True),
        # Mail servers repeat the address.
        Column("error", Type.TEXT, "Why it was refused.", nullable=True, has_addresses=True),
        instant("opened_at", "When the client first opened it, as far as known.", nullable=True),
        instant("clicked_at", "When the client first followed its link, as far as known.", nullable=True),
    ),
    GROUP,
    indexes=(("message_id",), ("status", "metric_date")),
)

DAILY_TABLES = (CLIENT_ENGAGEMENT, CLIENT_MOMENTUM_ALERTS)
WEEKLY_TABLES = (CLIENT_SUCCESS_SCORES, CLIENT_INSIGHTS, CLIENT_SUCCESS_EMAILS)
CLIENT_SUCCESS_TABLES = (*DAILY_TABLES, *WEEKLY_TABLES)
CLIENT_SUCCESS_RECORDS = (ALERT_SNAPSHOTS, ALERT_ACTIONS, INSIGHT_ACTIONS, EMAIL_DELIVERIES)
