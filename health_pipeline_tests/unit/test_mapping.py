"""The mapping file: what it gives, and every refusal as one line that names the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from health_pipeline.errors import MappingError
from health_pipeline.sources.contract import CASES, FEEDBACK, SOURCE_TABLES, TENANTS, USERS
from health_pipeline.sources.mapping import load_mapping

TABLE_NAMES = ", ".join(SOURCE_TABLES)
CASE_COLUMNS = "case_id, tenant_id, created_at, closed_at, sla_due_at, sla_status"

REFUSED = {
    "unknown key": ("schemas: crm", "schemas: unknown key"),
    "schema is no text": ("schema: 3", "schema: Input should be a valid string"),
    "tables is no mapping": ("tables: [users]", "tables: Input should be a valid dictionary"),
    "unknown table": ("tables: {userz: {}}", f"tables.userz: unknown logical table; known are {TABLE_NAMES}"),
    "needed table not there": (
        "tables: {users: null}",
        "tables.users: is always needed and can't be mapped to null",
    ),
    "unknown key of a table": ("tables: {users: {tabel: members}}", "tables.users.tabel: unknown key"),
    "empty select": ("tables: {cases: {sql: ''}}", "tables.cases.sql: String should have at least 1 character"),
    "select and table": (
        "tables: {cases: {sql: SELECT 1, table: matters}}",
        "tables.cases: give either a table or a select (sql), not both",
    ),
    "select and schema": (
        "tables: {cases: {sql: SELECT 1, schema: crm}}",
        "tables.cases: give either a table or a select (sql), not both",
    ),
    "columns are no mapping": (
        "tables: {cases: {columns: [opened]}}",
        "tables.cases.columns: Input should be a valid dictionary",
    ),
    "column is no text": (
        "tables: {cases: {columns: {case_id: 4}}}",
        "tables.cases.columns.case_id: Input should be a valid string",
    ),
    "unknown column": (
        "tables: {cases: {columns: {opened: opened_at}}}",
        f"tables.cases.columns.opened: unknown column; known are {CASE_COLUMNS}",
    ),
    "required column not there": (
        "tables: {cases: {columns: {closed_at: null}}}",
        "tables.cases.columns.closed_at: is required and can't be mapped to null",
    ),
}


def write(folder: Path, text: str) -> Path:
    path = folder / "mapping.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    """The message with which the file is refused: one line that begins with the file's name."""
    with pytest.raises(MappingError) as caught:
        load_mapping(path)
    message = str(caught.value)
    assert "\n" not in message
    prefix = f"mapping {path}: "
    assert message.startswith(prefix)
    return message.removeprefix(prefix)


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_wrong_file_is_refused_with_the_key_and_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    assert refusal(write(tmp_path, text)) == reason


@pytest.mark.parametrize("text", ["tables: {users: members}", "tables: {users: [members]}"])
def test_a_table_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert refusal(write(tmp_path, text)).startswith("tables.users: Input should be a valid dictionary")


@pytest.mark.parametrize("text", ["[users]", "users"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert refusal(write(tmp_path, text)).startswith("expected keys and values, found a ")


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    reason = refusal(write(tmp_path, "tables:\n  cases: {table: matters}\n  cases: null\n"))
    assert reason.startswith("is not valid YAML: key 'cases' is given twice")


@pytest.mark.parametrize("text", ["schema: ' '", "tables: {cases: {sql: '  '}}", "tables: {cases: {table: ''}}"])
def test_a_blank_name_is_refused(tmp_path: Path, text: str) -> None:
    assert "String should" in refusal(write(tmp_path, text))


def test_the_first_of_several_faults_is_told(tmp_path: Path) -> None:
    text = "tables:\n  cases: {tabel: matters}\n  users: {tabel: members}\n"
    assert refusal(write(tmp_path, text)) == "tables.cases.tabel: unknown key"


@pytest.mark.parametrize("text", ["a: b: c", "tables: {", "\tschema: crm"])
def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path, text: str) -> None:
    assert refusal(write(tmp_path, text)).startswith("is not valid YAML: ")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_bytes(b"schema: \xff")
    assert refusal(path).startswith("is not valid YAML: ")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    reason = "can't be read: No such file or directory; HEALTH_SOURCE_MAPPING must name a file"
    assert refusal(tmp_path / "nowhere.yaml") == reason
    assert refusal(tmp_path) == "can't be read: Is a directory; HEALTH_SOURCE_MAPPING must name a file"


@pytest.mark.parametrize("text", [None, "", "# nothing yet\n", "{}"])
def test_without_a_word_a_table_lies_in_app_under_its_own_name(tmp_path: Path, text: str | None) -> None:
    mapping = load_mapping(None if text is None else write(tmp_path, text))
    for table in SOURCE_TABLES.values():
        place = mapping.place(table)
        assert place is not None
        assert (str(place), place.columns, place.is_named) == (f"app.{table.name}", {}, False)


def test_a_file_names_places_selects_and_tables_that_are_not_there(tmp_path: Path) -> None:
    mapping = load_mapping(
        write(
            tmp_path,
            """
            schema: crm
            tables:
              tenants: {table: accounts, columns: {tenant_id: account_no, slug: null}}
              users: {schema: hr}
              cases: {sql: SELECT * FROM crm.matters}
              feedback: null
            """,
        )
    )
    tenants, users, cases = mapping.place(TENANTS), mapping.place(USERS), mapping.place(CASES)
    assert tenants is not None
    assert users is not None
    assert cases is not None
    assert (str(tenants), tenants.columns) == ("crm.accounts", {"tenant_id": "account_no", "slug": None})
    assert str(users) == "hr.users"
    assert (str(cases), cases.sql) == ("its select (sql)", "SELECT * FROM crm.matters")
    assert all(place.is_named for place in (tenants, users, cases))
    assert mapping.place(FEEDBACK) is None
