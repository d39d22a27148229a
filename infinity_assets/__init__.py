"""Infinity Assets: accountable vision-language training data on Dagster."""
