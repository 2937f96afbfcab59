"""The benchmark: invented application data at three sizes, the real Dagster job over it, and beside it, in the same run, what
merely reads and writes (the floor), hand-written SQL, and dbt. Run it with `make bench`; docs/performance.md has the results.

What belongs here: data, measuring, peers. What does not: anything that a deployment needs.
"""
