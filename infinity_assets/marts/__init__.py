"""Quality over all sources: Parquet snapshots, dbt's marts and tests over them, one page; no Dagster."""
