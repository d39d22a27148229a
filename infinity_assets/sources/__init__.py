"""The catalogue: one YAML file for each source, and the model that validates it."""
