from __future__ import annotations

from tracer.hypothesis.expectations.base import Alpha, Expected


class Rises(Expected):
    """The token's log-probability rises with the dose: Spearman ρ > 0, exact permutation p."""

    rises: str
    p: Alpha = 0.05


class Falls(Expected):
    """The token's log-probability falls with the dose: Spearman ρ < 0, exact permutation p."""

    falls: str
    p: Alpha = 0.05
