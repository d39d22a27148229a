"""What every worker needs, imported and loaded once, in the process from which workers are forked.

Nothing here may start a thread that a forked child would lose: Lance and Polars stay out.
"""

import gc

import infinity_assets.readers
import infinity_assets.sources.roots
import infinity_assets.stages.images.measure  # noqa: F401
from infinity_assets.stages.unified.text import count_tokens, identify_languages

SAMPLE = ["A sentence that has every model of the text measures loaded."]

count_tokens(SAMPLE)
identify_languages(SAMPLE)
gc.collect()
gc.freeze()  # pages that the collector does not touch stay shared between workers
