"""Without these, every process that judges rows loads charts and clouds, or others find modules missing."""

from __future__ import annotations

import subprocess
import sys


def told(script: str) -> str:
    """What a new interpreter prints: this one may have loaded anything."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_contracts_do_not_use_is_not_loaded_and_works_where_it_is_asked_for() -> None:
    script = """
import sys
from infinity_assets.quality.engines.loading import ABSENT, LAZY, load
load()
from infinity_assets.quality.engines import expectations, suites
unused = ("altair", "scipy.stats", "great_expectations.datasource.fluent.pandas_datasource", *ABSENT)
print([name for name in unused if name in sys.modules])
import great_expectations as gx
import great_expectations.expectations.core.expect_column_kl_divergence_to_be_less_than as charts
print(charts.stats.entropy([0.5, 0.5], [0.5, 0.5]), charts.alt.Chart.__name__)
print(gx.expectations.ExpectColumnKLDivergenceToBeLessThan is charts.ExpectColumnKLDivergenceToBeLessThan)
print(gx.__version__.split(".")[0], gx.get_context.__name__, hasattr(gx, "nothing"))
from great_expectations.core import ExpectationSuite
asked = [gx.expectations.ExpectColumnToExist(column="a")]
print(len(ExpectationSuite("of_it", expectations=asked).expectations))
"""
    assert told(script).splitlines() == ["[]", "0.0 Chart", "True", "1 get_context False", "1"]


def test_packages_that_are_not_run_hold_imports_alone() -> None:
    """A later version that defines something there would have it missing."""
    script = """
import ast, sys
from pathlib import Path
from infinity_assets.quality.engines.loading import LAZY, load
load()
for name in LAZY:
    for node in ast.parse(Path(sys.modules[name].__file__).read_text("utf-8")).body:
        if not isinstance(node, (ast.Import, ast.ImportFrom, ast.Expr, ast.Delete)):
            names = {n.id for n in ast.walk(node) if isinstance(getattr(n, "ctx", None), ast.Store)}
            print(name, *sorted(names))
"""
    defined = {line for line in told(script).splitlines() if not line.endswith(" __all__")}
    assert defined == {
        "great_expectations __version__",  # taken from the distribution
        "great_expectations.core RESULT_FORMATS fmt",  # used nowhere, like the next
        "great_expectations.core logger",
    }


def test_what_is_loaded_already_stays_as_it_is() -> None:
    script = """
import great_expectations as gx
import altair, scipy.stats
before = gx.expectations
from infinity_assets.quality.engines.loading import load
load()
import great_expectations.expectations.core.expect_column_kl_divergence_to_be_less_than as charts
print(charts.alt is altair, charts.stats is scipy.stats, gx.expectations is before, type(gx).__name__)
"""
    assert told(script).split() == ["True", "True", "True", "module"]
