{{ config(materialized='ephemeral') }}
SELECT tenant_id, CASE WHEN trim(industry_sector) NOT IN ('', 'ALL') THEN industry_sector END AS sector,
       CASE WHEN employee_count < 1 THEN NULL WHEN employee_count < 50 THEN '1-49' WHEN employee_count < 250 THEN '50-249'
            WHEN employee_count < 1000 THEN '250-999' WHEN employee_count < 5000 THEN '1000-4999'
            WHEN employee_count >= 5000 THEN '5000+' END AS band,
       CASE WHEN alert_level IN ('NONE', 'DASHBOARD_ONLY', 'PROACTIVE') THEN alert_level ELSE 'DASHBOARD_ONLY' END AS alert_level
FROM app.tenants
WHERE created_at < {{ end_at() }} AND (deactivated_at IS NULL OR deactivated_at >= {{ end_at() }})
