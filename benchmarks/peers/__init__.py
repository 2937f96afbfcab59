"""What the pipeline is held against, in the same run: the floor, hand-written SQL, and dbt."""
