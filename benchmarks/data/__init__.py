"""Invented application data: exact to the source contract, realistic in shape, the same for the same size and seed."""
