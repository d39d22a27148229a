"""deduped: which samples of unified stay, and which edge drops the others. Reads unified and the ledger."""
