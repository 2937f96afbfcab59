SELECT
    metric_date,
    tenant_id,
    count(*) AS total_features,
    count(*) FILTER (WHERE is_enabled) AS enabled_features,
    count(*) FILTER (WHERE is_enabled AND is_adopted) AS used_features,
    100.0::double precision * count(*) FILTER (WHERE is_enabled AND is_adopted)
        / nullif(count(*) FILTER (WHERE is_enabled), 0) AS adoption_rate
FROM health.feature_adoption
GROUP BY metric_date, tenant_id
