"""duplicate_ledger: one row for each edge between equal samples, over all sources. Reads every unified."""
