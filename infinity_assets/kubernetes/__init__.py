"""Shards of a heavy step as one Indexed Job of Kubernetes: launched, found again, watched, and taken away.

The client library is imported when a cluster is first asked; nothing here knows Dagster.
"""
