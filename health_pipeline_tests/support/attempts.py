"""What people may try to see more than they may: statements of one session each, by what they try."""

from __future__ import annotations

from health_pipeline_tests.support.roles import DAYS

_MONTH = f"usage_metrics_{DAYS.last:%Y_%m}"

# Each of these shows addresses to somebody who may see them, and nothing of them to an analyst.
ADDRESS_ATTEMPTS = {
    "column": ["SELECT email FROM health.client_success_emails"],
    "all": ["SELECT * FROM health.email_deliveries"],
    "whole row": ["SELECT mail FROM health.client_success_emails AS mail"],
    "whole row as json": ["SELECT to_jsonb(mail) FROM health.client_success_emails AS mail"],
    "inside json": ["SELECT row ->> 'email' FROM health.quarantined_rows"],
    "error": ["SELECT error FROM health.email_deliveries"],
    "mail": ["SELECT html, plain_text FROM health.client_success_emails"],
    "aggregate": ["SELECT max(email) FROM health.client_success_emails"],
    "renamed": ["SELECT a FROM health.client_success_emails AS mail (d, t, c, a)"],
    "lateral": ["SELECT x.* FROM health.client_success_emails AS mail, LATERAL (SELECT mail.email) AS x"],
    "natural join": ["SELECT * FROM health.client_success_emails NATURAL JOIN health.email_deliveries"],
    "temporary view": ["CREATE TEMP VIEW mine AS SELECT * FROM health.email_deliveries", "SELECT * FROM mine"],
    "temporary table": ["CREATE TEMP TABLE mine AS SELECT email FROM health.email_deliveries", "SELECT * FROM mine"],
    "definer function": [
        "CREATE FUNCTION pg_temp.peek() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER"
        " AS 'SELECT email FROM health.email_deliveries'",
        "SELECT pg_temp.peek()",
    ],
    "block": [
        "DO $$DECLARE found text; BEGIN SELECT email INTO found FROM health.email_deliveries LIMIT 1;"
        " RAISE NOTICE '%', found; END$$"
    ],
    "copy": ["COPY health.email_deliveries TO STDOUT"],
    "copy of a column": ["COPY health.client_success_emails (email) TO STDOUT"],
    "copy of a query": ["COPY (SELECT email FROM health.client_success_emails) TO STDOUT"],
    "query in a text": ["SELECT ts_stat('SELECT to_tsvector(''simple'', email) FROM health.email_deliveries')"],
    "cursor": ["DECLARE mine CURSOR FOR SELECT email FROM health.email_deliveries", "FETCH ALL FROM mine"],
    "prepared": ["PREPARE mine AS SELECT email FROM health.email_deliveries", "EXECUTE mine"],
    "statistics": ["SELECT most_common_vals, histogram_bounds FROM pg_stats WHERE schemaname = 'health'"],
    "raw statistics": ["SELECT stavalues1, stavalues2 FROM pg_statistic"],
    "returned": ["UPDATE health.email_deliveries SET error = error RETURNING email"],
    "error text": ["SELECT CAST(email AS integer) FROM health.email_deliveries"],
}

_LEAK = (
    "CREATE FUNCTION pg_temp.tell(anyelement) RETURNS boolean LANGUAGE plpgsql COST 0.0000001"
    " AS $$BEGIN RAISE NOTICE 'saw %', $1; RETURN true; END$$"
)
# Each of these shows rows of the other tenant to somebody who may see them.
TENANT_ATTEMPTS = {
    "by name": ["SELECT * FROM health.usage_metrics WHERE tenant_id = 'theirs'"],
    "or true": ["SELECT * FROM health.usage_metrics WHERE tenant_id = 'ours' OR true"],
    "through a view": ["SELECT * FROM health.tenant_health_trends WHERE tenant_id = 'theirs'"],
    "a month itself": [f"SELECT * FROM health.{_MONTH}"],
    "system columns": ["SELECT tableoid, ctid, client_id FROM health.client_success_scores"],
    "sample": ["SELECT * FROM health.client_success_scores TABLESAMPLE SYSTEM (100)"],
    "join with benchmarks": [
        "SELECT * FROM health.peer_benchmarks LEFT JOIN health.tenant_profiles USING (metric_date)"
    ],
    "join with others": [
        "SELECT * FROM health.usage_metrics AS a JOIN health.tenant_profiles AS b ON a.tenant_id <> b.tenant_id"
    ],
    "aggregate": ["SELECT string_agg(tenant_id, ',') FROM health.customer_order_health"],
    "recursion": [
        "WITH RECURSIVE ids AS (SELECT min(tenant_id) AS id FROM health.usage_metrics UNION SELECT (SELECT min(tenant_id)"
        " FROM health.usage_metrics WHERE tenant_id > ids.id) FROM ids WHERE id IS NOT NULL) SELECT * FROM ids"
    ],
    "temporary view": ["CREATE TEMP VIEW mine AS SELECT * FROM health.usage_metrics", "SELECT * FROM mine"],
    "view without a barrier": [
        "CREATE TEMP VIEW mine WITH (security_barrier = false, security_invoker = false) AS"
        " SELECT * FROM health.tenant_health_trends",
        "SELECT * FROM mine",
    ],
    "definer function": [
        "CREATE FUNCTION pg_temp.peek() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER"
        " AS 'SELECT tenant_id FROM health.usage_metrics'",
        "SELECT pg_temp.peek()",
    ],
    "invoker function": [
        "CREATE FUNCTION pg_temp.peek() RETURNS SETOF text LANGUAGE sql STABLE"
        " AS 'SELECT tenant_id FROM health.usage_metrics'",
        "SELECT pg_temp.peek()",
    ],
    "function in the filter": [_LEAK, "SELECT count(*) FROM health.usage_metrics WHERE pg_temp.tell(tenant_id)"],
    "function in a view's filter": [
        _LEAK,
        "SELECT count(*) FROM health.tenant_health_trends WHERE pg_temp.tell(tenant_id)",
    ],
    "function over a whole row": [_LEAK, "SELECT count(*) FROM health.tenant_profiles AS row WHERE pg_temp.tell(row)"],
    "function in a join": [
        _LEAK,
        "SELECT count(*) FROM health.peer_benchmarks JOIN health.tenant_profiles AS p ON pg_temp.tell(p.name)",
    ],
    "own operator": [
        "CREATE FUNCTION pg_temp.same(text, text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001"
        " AS $$BEGIN RAISE NOTICE 'saw %', $1; RETURN true; END$$",
        "CREATE OPERATOR pg_temp.= (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_temp.same)",
        "SET search_path = pg_temp, pg_catalog",
        "SELECT * FROM health.usage_metrics WHERE tenant_id OPERATOR(pg_temp.=) 'x'",
    ],
    "own current_setting": [
        "CREATE FUNCTION pg_temp.current_setting(text, boolean) RETURNS text LANGUAGE sql AS $$SELECT 'theirs'$$",
        "SET search_path = pg_temp, pg_catalog",
        "SELECT * FROM health.usage_metrics",
    ],
    "error text": ["SELECT CAST(name AS integer) FROM health.tenant_profiles WHERE tenant_id <> 'ours'"],
    "copy": ["COPY health.client_success_scores TO STDOUT"],
    "copy of a query": ["COPY (SELECT * FROM health.usage_metrics) TO STDOUT"],
    "copy of a month": [f"COPY health.{_MONTH} TO STDOUT"],
    "cursor": ["DECLARE mine CURSOR WITH HOLD FOR TABLE health.usage_metrics", "FETCH ALL FROM mine"],
    "query in a text": ["SELECT ts_stat('SELECT to_tsvector(''simple'', tenant_id) FROM health.usage_metrics')"],
    "statistics": ["SELECT most_common_vals, histogram_bounds FROM pg_stats WHERE schemaname = 'health'"],
    "raw statistics": ["SELECT stavalues1, stavalues2 FROM pg_statistic"],
    "row security off": ["SET row_security = off", "SELECT * FROM health.usage_metrics"],
    "locked rows": ["SELECT * FROM health.usage_metrics FOR SHARE"],
    "returned": ["DELETE FROM health.usage_metrics RETURNING tenant_id"],
    "notes of staff": ["SELECT * FROM health.alert_actions"],
    "bad rows": ["SELECT * FROM health.quarantined_rows"],
    "view over all": ["SELECT * FROM health.latest_tenant_health"],
    "ranks among peers": ["SELECT * FROM health.health_score_drivers"],
}
