"""Which pictures suit which kind of instruction: counted on a pinned seed set."""
