{{ config(indexes=[{'columns': ['metric_date', 'tenant_id', 'feature_key'], 'unique': true}]) }}
SELECT {{ day() }} AS metric_date, tenant_id, feature_key, category, enabled.tenant_id IS NOT NULL AS is_enabled,
       uses IS NOT NULL AS is_adopted, first_at AS first_used_at, last_at AS last_used_at,
       coalesce(uses, 0)::bigint AS usage_count, coalesce(uses_30d, 0)::bigint AS usage_count_30d
FROM {{ ref('tenants_at') }}
CROSS JOIN (VALUES {% for feature, category in var('features').items() %}('{{ feature }}', '{{ category }}')
            {{- ", " if not loop.last }}{% endfor %}) AS feature (feature_key, category)
LEFT JOIN (SELECT tenant_id, feature_key, sum(uses) AS uses, sum(uses) FILTER (WHERE metric_date > {{ day() }} - 30) AS uses_30d,
                  min(first_at) AS first_at, max(last_at) AS last_at
           FROM {{ ref('daily_uses') }} WHERE metric_date <= {{ day() }} GROUP BY tenant_id, feature_key) AS used
     USING (tenant_id, feature_key)
LEFT JOIN (SELECT DISTINCT tenant_id, feature_key FROM app.feature_entitlements
           WHERE enabled_at < {{ end_at() }} AND (disabled_at IS NULL OR disabled_at >= {{ end_at() }})) AS enabled
     USING (tenant_id, feature_key)
