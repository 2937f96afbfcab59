"""A second, deliberately naive statement of the specification: the oracle that the pipeline's results are held against.

Nothing here imports the package under test. Only the standard library is used, every figure is computed straight from
its definition (day by day, entity by entity), and speed is given up for clarity.
"""
