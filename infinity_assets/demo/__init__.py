"""Demo sources, drawn on the spot: eleven small datasets in native formats, with planted defects."""
