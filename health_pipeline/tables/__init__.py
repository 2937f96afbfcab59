"""The warehouse's tables, each declared once; schemas, DDL, Dagster metadata and the data dictionary derive from it."""
