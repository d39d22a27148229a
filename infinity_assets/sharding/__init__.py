"""Heavy work cut into shards: a plan, one worker entry point, and a local pool that survives dead workers.

A plan is a file in the store; a shard's key is the hash of all that determines its result; a shard whose
result is staged is never run again. Stages say what a shard is; this room only runs shards.
"""
