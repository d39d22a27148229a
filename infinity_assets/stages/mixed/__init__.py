"""Stage ``mixed``: which samples a training stage reads, how often, in what order, and why not others."""
