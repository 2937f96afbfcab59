"""The data dictionary: docs/data-dictionary.md says what the declarations say."""

from __future__ import annotations

from pathlib import Path

from health_pipeline.tables.catalogue import TABLES, VIEWS
from health_pipeline.tables.dictionary import data_dictionary

PATH = Path(__file__).parents[2] / "docs" / "data-dictionary.md"


def section(name: str) -> str:
    """The part of the document about a table or view."""
    return data_dictionary().split(f"\n### {name}\n")[1].split("\n### ")[0]


def test_the_file_is_what_the_declarations_say() -> None:
    # A comparison by ==, so that pytest doesn't print hundreds of lines of difference.
    is_current = PATH.read_text(encoding="utf-8") == data_dictionary()
    assert is_current, "docs/data-dictionary.md is out of date; run: make dictionary"


def test_every_table_and_every_column_is_told() -> None:
    for table in TABLES.values():
        assert table.grain in section(table.name)
        for column in table.columns:
            nullable = "null" if column.nullable else ""
            assert f"| `{column.name}` | {column.type.value} | {column.unit} | {nullable} | " in section(table.name)
    for view in VIEWS.values():
        assert view.grain in section(view.name)
        assert all(f"| `{name}` | " in section(view.name) for name, _ in view.columns)


def test_partitions_indexes_and_retention_are_told() -> None:
    assert " A partition per month. Index on `tenant_id`, `metric_date`.\n" in section("tenant_health_scores")
    assert "`HEALTH_FEATURE_ADOPTION_DAYS`" in section("feature_adoption")
    for table in TABLES.values():
        assert ("A partition per month." in section(table.name)) == (table.cadence == "daily")
        for columns in table.indexes:
            assert f"Index on {', '.join(f'`{name}`' for name in columns)}." in section(table.name)


def test_allowed_values_keys_and_bars_are_told() -> None:
    assert "Daily table, key `metric_date`, `tenant_id`, `feature_key`." in section("feature_adoption")
    assert "Null: not measured. 0 to 100. |" in section("tenant_health_scores")
    assert "One of NONE, DASHBOARD_ONLY, PROACTIVE. |" in section("tenant_health_scores")
    # A bar would end the cell.
    assert "its parts joined by \\|. " in section("quarantined_rows")
