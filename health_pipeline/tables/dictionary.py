"""The data dictionary: every table and view as Markdown, from its declaration. `make dictionary` writes docs/data-dictionary.md."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from health_pipeline.tables.catalogue import SCHEMA, TABLES, VIEWS
from health_pipeline.tables.declare import Column, Table, View

_INTRODUCTION = f"""\
# Data dictionary

Every table and view of the warehouse, in the schema `{SCHEMA}`. Made from the declarations in `health_pipeline/tables` by
`make dictionary`; a change here would be overwritten. In psql, `\\d+ {SCHEMA}.NAME` shows the same texts.

D is a row's `metric_date`. A daily table has rows of every day, and is kept in a PostgreSQL partition per month
(`NAME_YYYY_MM`): a query that names its days opens only their months, so name them as constants. A weekly table has rows of every
Sunday. A key is an index as well. Rows are kept for ever where nothing else is said. Columns without a mark under "null" always
have a value.
"""


def data_dictionary() -> str:
    """The whole document: a list of contents, then a section per system with its tables and then its views."""
    items: list[Table | View] = [*TABLES.values(), *VIEWS.values()]
    groups = list(dict.fromkeys(item.group for item in items))
    parts = [_INTRODUCTION, "\n".join(_contents(group) for group in groups) + "\n"]
    for group in groups:
        parts.append(f"## {_title(group)}\n")
        parts += [_table_section(table) for table in TABLES.values() if table.group == group]
        parts += [_view_section(view) for view in VIEWS.values() if view.group == group]
    return "\n".join(parts)


def _title(group: str) -> str:
    return group.replace("_", " ").capitalize()


def _contents(group: str) -> str:
    items: list[Table | View] = [*TABLES.values(), *VIEWS.values()]
    names = [item.name for item in items if item.group == group]
    links = ", ".join(f"[{name}](#{name})" for name in names)
    return f"- **{_title(group)}**: {links}"


def _table_section(table: Table) -> str:
    key = ", ".join(f"`{name}`" for name in table.key)
    about = [f"{f'{table.cadence.capitalize()} table' if table.cadence else 'Table without partitions'}, key {key}."]
    if table.is_by_month:
        about.append("A partition per month.")
    about += [f"Index on {', '.join(f'`{name}`' for name in columns)}." for columns in table.indexes]
    if table.retention:
        about.append(table.retention)
    rows = [
        (f"`{column.name}`", column.type.value, column.unit, "null" if column.nullable else "", _says(column))
        for column in table.columns
    ]
    lines = _lines(("column", "type", "unit", "null", "what it says"), rows)
    return f"### {table.name}\n\n{table.grain}\n\n{' '.join(about)}\n\n{lines}"


def _says(column: Column) -> str:
    """The description, with the values that are allowed."""
    if column.one_of is not None and not all(value in column.description for value in column.one_of):
        return f"{column.description} One of {', '.join(column.one_of)}."
    if column.minimum is not None and column.maximum is not None:
        return f"{column.description} {column.minimum:g} to {column.maximum:g}."
    return column.description


def _view_section(view: View) -> str:
    rows = [(f"`{name}`", description) for name, description in view.columns]
    return f"### {view.name}\n\n{view.grain}\n\nView.\n\n{_lines(('column', 'what it says'), rows)}"


def _lines(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "".join(_line(cells) for cells in (heading, ["---"] * len(heading), *rows))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_escaped(cells))} |\n"


def _escaped(cells: Sequence[str]) -> Iterator[str]:
    return (cell.replace("|", "\\|") for cell in cells)


if __name__ == "__main__":
    sys.stdout.write(data_dictionary())
