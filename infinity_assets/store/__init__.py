"""Where tables live: Lance datasets by stage and partition, published whole or not at all.

This room knows Arrow, Lance and object storage; it knows no stage, no source and no Dagster.
"""

import os

# Lance warns on every first write that the dataset does not exist yet, which is what a first write is.
os.environ.setdefault("LANCE_LOG", "error")
