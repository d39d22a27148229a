"""Without these, a price is a guess with two decimals: the bill lies outside of what was told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.pricing.estimate import Spent, draw, extrapolate

COSTS = st.lists(st.floats(0, 100), min_size=2, max_size=30)


def spent(costs) -> list[Spent]:
    return [Spent(1, 10, 2, 0.01, cost) for cost in costs]


@pytest.mark.parametrize("shape", ["even", "skewed", "two kinds"])
def test_the_interval_covers_what_the_whole_costs(shape):
    """19 times in 20 as told; skewed costs, of which a small sample sees few dear ones, nearly as often."""
    rng = np.random.default_rng(5)
    covered, trials = 0, 200
    for trial in range(trials):
        whole = {
            "even": lambda: rng.uniform(1, 3, 400),
            "skewed": lambda: rng.gamma(1.0, 2.0, 400),
            "two kinds": lambda: rng.choice([1.0, 6.0], 400, p=[0.7, 0.3]),
        }[shape]()
        sample = whole[draw(400, 40, trial)]
        found = extrapolate(spent(sample), 400, trial).interval("cost")
        covered += found.low <= whole.sum() <= found.high
    assert covered / trials >= (0.90 if shape == "skewed" else 0.92)


@given(COSTS)
def test_all_of_it_is_no_guess(costs):
    """Who asked about everything knows the price."""
    found = extrapolate(spent(costs), len(costs), 0).interval("cost")
    assert found.low == pytest.approx(found.estimate) == pytest.approx(found.high)
    assert found.estimate == pytest.approx(sum(costs))


@given(COSTS, st.integers(0, 1 << 30))
def test_the_same_seed_tells_the_same_and_bounds_hold_the_estimate(costs, seed):
    """Two people who ask for one price must not get two."""
    units = 10 * len(costs)
    first, again = (extrapolate(spent(costs), units, seed) for _ in range(2))
    assert first.interval("cost") == again.interval("cost")
    found = first.interval("cost")
    assert 0 <= found.low <= found.estimate <= found.high
    requests = first.interval("requests")
    assert requests.low == pytest.approx(units) == pytest.approx(requests.high), "each took one"


def test_steps_add_up():
    """The price of two steps is not the sum of two worst cases."""
    one, two = extrapolate(spent([1, 2, 3, 4]), 100, 1), extrapolate(spent([5, 6, 7, 9]), 100, 2)
    both = (one + two).interval("cost")
    assert both.estimate == pytest.approx(one.interval("cost").estimate + two.interval("cost").estimate)
    assert both.high < one.interval("cost").high + two.interval("cost").high


def test_one_unit_tells_no_interval():
    """A single observation has no spread; an interval of no width would be a lie."""
    with pytest.raises(ValueError, match="two"):
        extrapolate(spent([1.0]), 10, 0)
    assert draw(5, 10, 0) == [0, 1, 2, 3, 4]
