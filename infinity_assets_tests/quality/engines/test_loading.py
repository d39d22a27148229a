"""Without these, every process that judges rows loads charts and clouds, or others find modules missing."""

from __future__ import annotations

import subprocess
import sys


def told(script: str) -> str:
    """What a new interpreter prints: this one may have loaded anything."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_only_charts_and_clouds_need_is_not_loaded_and_works_where_it_is_asked_for() -> None:
    script = """
import gc, sys
from infinity_assets.quality.engines.loading import ABSENT, SPARED, load
load()
spared = [name for name in SPARED + ABSENT if name in sys.modules]
import great_expectations.expectations.core.expect_column_kl_divergence_to_be_less_than as charts
print(gc.isenabled(), spared, charts.stats.entropy([0.5, 0.5], [0.5, 0.5]), charts.alt.Chart.__name__)
import altair, scipy, scipy.stats
from scipy.stats import distributions
print(altair.Chart is charts.alt.Chart, scipy.stats is sys.modules["scipy.stats"], distributions.norm.cdf(0))
"""
    assert told(script).splitlines() == ["True [] 0.0 Chart", "True True 0.5"]


def test_modules_that_are_loaded_already_stay_as_they_are() -> None:
    script = """
import sys, altair, scipy.stats
from infinity_assets.quality.engines.loading import load
load()
import great_expectations.expectations.core.expect_column_kl_divergence_to_be_less_than as charts
print(charts.alt is altair is sys.modules["altair"], charts.stats is scipy.stats)
"""
    assert told(script).split() == ["True", "True"]
