"""All samples of all sources, found by what any stage said of them, by their words, or by likeness."""
