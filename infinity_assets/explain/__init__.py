"""Why a sample is there or not, and which edges the ledger has: for a terminal, a page, a script."""
