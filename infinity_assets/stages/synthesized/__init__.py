"""New conversations about pictures that are there: planned by tags, written, judged, merged."""
