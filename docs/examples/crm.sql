-- An application's own tables, as connect-your-data.md finds them: nothing is named as in the source contract.
-- docs/examples/mapping.yaml maps them. Load it into an empty database: psql URL -f docs/examples/crm.sql
CREATE SCHEMA crm;

CREATE TABLE crm.accounts (
    account_no bigint PRIMARY KEY,
    display_name text NOT NULL,
    short_name text,
    branch text,
    headcount integer,
    renews_on date,
    signed_up timestamptz NOT NULL,
    closed timestamptz
);
CREATE TABLE crm.members (
    member_no integer PRIMARY KEY,
    account_no bigint NOT NULL,
    full_name text,
    joined timestamptz NOT NULL,
    departed timestamptz
);
CREATE TABLE crm.activity (
    activity_no bigint PRIMARY KEY,
    account_no bigint NOT NULL,
    member_no integer NOT NULL,
    action text NOT NULL,  -- sign_in, view, run_report, search
    module text,           -- matters, handbook
    happened timestamptz NOT NULL
);
CREATE INDEX activity_happened ON crm.activity (happened);
CREATE TABLE crm.matters (
    matter_no bigint PRIMARY KEY,
    account_no bigint NOT NULL,
    opened timestamptz NOT NULL,
    respond_by timestamptz,
    resolved timestamptz
);
CREATE TABLE crm.programs (
    program_no integer PRIMARY KEY,
    account_no bigint NOT NULL,
    starts timestamptz NOT NULL,
    ends timestamptz
);
CREATE TABLE crm.program_tasks (  -- the account follows from the member
    program_no integer NOT NULL,
    member_no integer NOT NULL,
    given timestamptz NOT NULL,
    done timestamptz,
    PRIMARY KEY (program_no, member_no)
);
CREATE TABLE crm.licences (
    account_no bigint NOT NULL,
    module text NOT NULL,
    valid_from date NOT NULL,
    valid_until date
);

INSERT INTO crm.accounts VALUES
    (101, 'Northwind Legal', 'northwind', 'Legal', 120, '2025-06-30', '2025-01-07 09:00:00+00', NULL),
    (102, 'Blue Harbor Foods', 'blue-harbor', 'Food', 40, '2026-02-03', '2025-02-03 08:30:00+00', NULL),
    (103, 'Old Mill Press', 'old-mill', '', NULL, NULL, '2025-01-15 12:00:00+00', '2025-03-11 15:00:00+00');
INSERT INTO crm.members VALUES
    (1, 101, 'Ada Stone', '2025-01-07 09:05:00+00', NULL),
    (2, 101, 'Ben Ruiz', '2025-01-08 10:00:00+00', NULL),
    (3, 101, 'Cleo Park', '2025-01-08 10:00:00+00', NULL),
    (4, 101, 'Dan Vogel', '2025-01-09 10:00:00+00', '2025-03-11 00:00:00+00'),
    (5, 102, 'Eva Lind', '2025-02-03 08:35:00+00', NULL),
    (6, 102, 'Finn Maas', '2025-02-04 08:00:00+00', NULL),
    (7, 103, 'Gia Moretti', '2025-01-15 12:00:00+00', NULL);
INSERT INTO crm.activity VALUES
    (1, 101, 1, 'view', 'matters', '2025-01-20 11:00:00+00'),
    (2, 101, 2, 'sign_in', NULL, '2025-02-09 00:00:00+00'),
    (3, 102, 5, 'sign_in', NULL, '2025-02-20 07:45:00+00'),
    (4, 101, 4, 'sign_in', NULL, '2025-03-01 09:00:00+00'),
    (5, 101, 1, 'sign_in', NULL, '2025-03-10 08:00:00+00'),
    (6, 999, 1, 'view', NULL, '2025-03-10 08:01:00+00'),  -- an account that isn't there
    (7, 101, 1, 'run_report', 'matters', '2025-03-11 10:00:00+00'),
    (8, 101, 3, 'sign_in', NULL, '2025-03-11 23:59:59.999999+00'),
    (9, 101, 3, 'search', NULL, '2025-03-12 00:00:00+00'),
    (10, 101, 3, 'search', NULL, '2025-03-12 09:30:00+00'),
    (11, 101, 3, 'view', 'handbook', '2025-03-12 09:31:00+00');
INSERT INTO crm.matters VALUES
    (1, 101, '2025-03-03 09:00:00+00', '2025-03-10 12:00:00+00', '2025-03-10 10:00:00+00'),
    (2, 101, '2025-03-01 09:00:00+00', '2025-03-10 17:00:00+00', '2025-03-11 09:00:00+00'),
    (3, 101, '2025-03-09 09:00:00+00', '2025-03-11 12:00:00+00', NULL);
INSERT INTO crm.programs VALUES (1, 101, '2025-03-01 00:00:00+00', '2025-03-11 18:00:00+00');
INSERT INTO crm.program_tasks VALUES
    (1, 1, '2025-03-01 08:00:00+00', '2025-03-05 16:00:00+00'),
    (1, 2, '2025-03-01 08:00:00+00', '2025-03-11 10:00:00+00'),
    (1, 3, '2025-03-01 08:00:00+00', NULL);
INSERT INTO crm.licences VALUES
    (101, 'matters', '2025-01-07', NULL),
    (101, 'handbook', '2025-01-07', NULL),
    (102, 'matters', '2025-02-03', '2025-03-11');
