"""Models and how the platform talks to them; no table, no stage, no Dagster."""
