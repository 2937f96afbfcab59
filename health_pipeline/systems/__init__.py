"""The three systems: read, compute, validate, write a range of days. What Dagster's assets call; knows no Dagster."""
