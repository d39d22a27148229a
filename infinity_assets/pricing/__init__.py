"""What a step that asks a model would cost, out of a small sample that is really asked about."""
