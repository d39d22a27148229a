"""unified: one row for each raw record, in canonical form, readable or not.

Three passes over a source: *draft* (read a slice, measure its text), *images* (decode every distinct picture
once), *finalize* (look pictures up, give ids and verdicts). Reads raw and the source's files; writes images
and unified.
"""
