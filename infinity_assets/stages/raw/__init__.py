"""raw: one row for each upstream file, with the hash of its content. Reads sources, writes manifests."""
