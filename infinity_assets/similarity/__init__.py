"""Search and comparison of fingerprints: pure, no store and no stage."""
