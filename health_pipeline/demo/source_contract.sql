-- The twelve logical source tables as PostgreSQL DDL. Unqualified: they are created in the first schema of the search path.
CREATE TABLE tenants (
  tenant_id text PRIMARY KEY, name text NOT NULL, slug text, industry_sector text, employee_count integer,
  renewal_date date, alert_level text, created_at timestamptz NOT NULL, deactivated_at timestamptz);
CREATE TABLE users (
  user_id text PRIMARY KEY, tenant_id text NOT NULL, name text, email text, insights_opt_in boolean,
  created_at timestamptz NOT NULL, deactivated_at timestamptz);
CREATE TABLE events (
  event_id text, tenant_id text NOT NULL, user_id text NOT NULL, event_type text NOT NULL, feature_key text,
  session_id text, duration_seconds integer, occurred_at timestamptz NOT NULL);
CREATE INDEX events_occurred_at ON events (occurred_at);
CREATE TABLE cases (
  case_id text PRIMARY KEY, tenant_id text NOT NULL, created_at timestamptz NOT NULL, closed_at timestamptz,
  sla_due_at timestamptz, sla_status text);
CREATE TABLE campaigns (
  campaign_id text PRIMARY KEY, tenant_id text NOT NULL, launched_at timestamptz NOT NULL, ended_at timestamptz);
CREATE TABLE campaign_assignments (
  assignment_id text PRIMARY KEY, campaign_id text NOT NULL, tenant_id text NOT NULL,
  assigned_at timestamptz NOT NULL, completed_at timestamptz);
CREATE TABLE feature_entitlements (
  tenant_id text NOT NULL, feature_key text NOT NULL, enabled_at timestamptz NOT NULL, disabled_at timestamptz);
CREATE TABLE support_tickets (
  ticket_id text PRIMARY KEY, tenant_id text NOT NULL, opened_at timestamptz NOT NULL, closed_at timestamptz, priority text);
CREATE TABLE customers (
  customer_id text PRIMARY KEY, tenant_id text NOT NULL, name text NOT NULL, sales_rep_id text,
  created_at timestamptz NOT NULL, deactivated_at timestamptz);
CREATE TABLE orders (
  order_id text PRIMARY KEY, tenant_id text NOT NULL, customer_id text NOT NULL, status text,
  ordered_at timestamptz NOT NULL, delivered_at timestamptz, total_amount numeric(14,2));
CREATE TABLE onboarding_tasks (
  task_id text PRIMARY KEY, tenant_id text NOT NULL, user_id text NOT NULL, status text NOT NULL,
  created_at timestamptz NOT NULL, started_at timestamptz, updated_at timestamptz, completed_at timestamptz);
CREATE TABLE feedback (
  feedback_id text PRIMARY KEY, tenant_id text NOT NULL, user_id text NOT NULL, score integer NOT NULL,
  submitted_at timestamptz NOT NULL);
