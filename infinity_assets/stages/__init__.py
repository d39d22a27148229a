"""One room for each stage, in pipeline order, named as the Dagster UI names it.

In a room: ``schema.py`` (the table), pure modules (the logic), ``asset.py`` (the thin Dagster asset). A stage
reads only tables of stages before it.
"""
