"""Which training samples hold items of a benchmark: measured here, decided by the policy of ``filtered``."""
