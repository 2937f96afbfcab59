"""What becomes of the pipeline when its world breaks: faults done for real, and what was seen (docs/reliability.md)."""
