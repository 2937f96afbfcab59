"""Event-level work: from logical source tables to figures per day and entity. Pure Ibis expressions, no Dagster, no I/O."""
