"""A small read-only server of sample pages: what Dagster's links open. It reads published tables only."""
