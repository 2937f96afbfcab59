WITH keyed AS (
    -- The length before the client makes the text of each insight its own.
    SELECT
        to_char(insight.metric_date, 'YYYY-MM-DD') || '-' || left(encode(sha256(convert_to(concat_ws(
            ':', length(insight.client_id), insight.client_id, insight.rule_id
        ), 'UTF8')), 'hex'), 16) AS insight_key,
        insight.*
    FROM health.client_insights AS insight
)
SELECT
    keyed.insight_key,
    keyed.metric_date,
    keyed.tenant_id,
    keyed.client_id,
    keyed.rule_id,
    keyed.insight_type,
    keyed.priority,
    keyed.title,
    keyed.body,
    keyed.valid_until,
    was_read.acted_at AS read_at,
    was_read.acted_by AS read_by,
    dismissed.acted_at AS dismissed_at,
    dismissed.acted_by AS dismissed_by,
    acted_on.acted_at AS acted_on_at,
    acted_on.acted_by AS acted_on_by
FROM keyed
LEFT JOIN health.insight_actions AS was_read
    ON was_read.insight_key = keyed.insight_key AND was_read.action = 'read'
LEFT JOIN health.insight_actions AS dismissed
    ON dismissed.insight_key = keyed.insight_key AND dismissed.action = 'dismissed'
LEFT JOIN health.insight_actions AS acted_on
    ON acted_on.insight_key = keyed.insight_key AND acted_on.action = 'acted_on'
