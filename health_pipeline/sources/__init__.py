"""Reading an application's own data: the contract, the mapping, the connectors, and what bad rows get."""
