"""What the stages' assets share: how a result becomes materializations, checks and metadata in Dagster."""
