"""The scoring policy: one YAML file that says how figures become scores, and its loader."""
