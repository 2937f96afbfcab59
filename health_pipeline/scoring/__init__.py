"""Pure functions from a day's metrics to scores, drivers, risk and peer benchmarks, on dataframes and plain values."""
