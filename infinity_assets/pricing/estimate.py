"""From what a sample cost to what the whole would cost, with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

ROUNDS: Final = 4_000  #: of the bootstrap
CONFIDENCE: Final = 0.95
_Z: Final = 1.959964  #: of the normal distribution at that confidence


@dataclass(frozen=True, slots=True)
class Spent:
    """What was asked about one unit (a sample, a planned question), and what it took."""

    requests: float = 0.0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    machine_hours: float = 0.0  #: wall time of the server while it worked, shared out
    cost: float = 0.0  #: in the engine's currency


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate, and where the true value lies with a confidence of 95 %."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """Of one step, or of several together."""

    units: int  #: of the whole
    sampled: int  #: units that were asked about
    totals: Floats  #: (5,) of the whole, in the order of :class:`Spent`
    draws: Floats  #: (rounds, 5) of the bootstrap

    def interval(self, name: str) -> Interval:
        """Of a field of :class:`Spent`."""
        at = [field.name for field in fields(Spent)].index(name)
        tail = 100 * (1 - CONFIDENCE) / 2
        low, high = np.percentile(self.draws[:, at], [tail, 100 - tail])
        total = float(self.totals[at])
        return Interval(total, max(0.0, min(float(low), total)), max(float(high), total))

    def __add__(self, other: Estimate) -> Estimate:
        """Both together; their samples were drawn apart."""
        return Estimate(
            self.units + other.units,
            self.sampled + other.sampled,
            self.totals + other.totals,
            self.draws + other.draws,
        )


def draw(units: int, count: int, seed: int) -> list[int]:
    """Which units to ask about: drawn without replacement, in order."""
    rng = np.random.default_rng(seed)
    return sorted(rng.choice(units, size=min(units, count), replace=False).tolist())


def extrapolate(spent: Sequence[Spent], units: int, seed: int) -> Estimate:
    """The whole from a simple random sample of it.

    The mean is bootstrapped over units, since the requests about one unit are alike. As Hesterberg advises
    for small samples (2015, "What Teachers Should Know About the Bootstrap"), deviations are widened by
    sqrt(n / (n - 1)) and by Student's t over the normal quantile. They are narrowed by the part of the whole
    that was asked about: when it is all of it there is nothing to guess.

    Args:
        spent: of each unit of the sample; at least two, unless there is one unit at all.
        units: of the whole.
        seed: of the bootstrap.
    """
    if len(spent) < 2 and units > len(spent):
        raise ValueError("an interval needs a sample of two units or more")
    values = np.array([astuple(one) for one in spent], dtype=np.float64).reshape(-1, len(fields(Spent)))
    n = len(values)
    if n == 0:
        nothing = np.zeros(len(fields(Spent)))
        return Estimate(units, 0, nothing, np.zeros((ROUNDS, len(nothing))))
    rng = np.random.default_rng(seed)
    mean = values.mean(axis=0)
    times = rng.multinomial(n, np.full(n, 1 / n), size=ROUNDS).astype(np.float64)
    means = times @ values / n
    wider = 0.0
    if n < units:
        wider = math.sqrt(n / (n - 1) * (1 - n / units)) * _student(n - 1) / _Z
    return Estimate(units, n, units * mean, units * (mean + (means - mean) * wider))


def _student(freedom: int) -> float:
    """Quantile of Student's t at the confidence: Cornish and Fisher's expansion, exact for one and two."""
    if freedom <= 2:
        return (12.7062, 4.30265)[freedom - 1]
    z = _Z
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
