"""Dagster: a file per concept. What belongs here: partitions, assets, checks, jobs, schedules, metadata. What does not: any
figure, rule or SQL that computes one."""
