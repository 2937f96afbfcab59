-- What both ways begin with: short integers instead of long keys, so that what follows sorts and hashes integers.
CREATE TEMP TABLE tenant ON COMMIT DROP AS
SELECT row_number() OVER (ORDER BY tenant_id)::int AS n, tenant_id, created_at::date AS created_day,
       coalesce(deactivated_at::date, 'infinity') AS gone_day,
       CASE WHEN trim(industry_sector) NOT IN ('', 'ALL') THEN industry_sector END AS sector,
       CASE WHEN employee_count < 1 THEN NULL WHEN employee_count < 50 THEN '1-49' WHEN employee_count < 250 THEN '50-249'
            WHEN employee_count < 1000 THEN '250-999' WHEN employee_count < 5000 THEN '1000-4999'
            WHEN employee_count >= 5000 THEN '5000+' END AS band,
       CASE WHEN alert_level IN ('NONE', 'DASHBOARD_ONLY', 'PROACTIVE') THEN alert_level ELSE 'DASHBOARD_ONLY' END AS alert_level
FROM app.tenants;

CREATE TEMP TABLE feature ON COMMIT DROP AS
SELECT ordinality::int AS f, feature_key, category
FROM unnest(%(features)s::text[], %(categories)s::text[]) WITH ORDINALITY AS catalogue (feature_key, category, ordinality);

CREATE TEMP TABLE tenant_day ON COMMIT DROP AS
SELECT n, day::date AS metric_date
FROM generate_series(%(first)s::date - 1, %(last)s::date, interval '1 day') AS day
JOIN tenant ON created_day <= day AND gone_day > day;

ANALYZE tenant;
ANALYZE feature;
ANALYZE tenant_day;
