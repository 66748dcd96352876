"""Whether a token follows the dose of a clamp: `rises`, `falls`."""

from __future__ import annotations

from typing import ClassVar

from tracer.hypothesis.expectations.base import Alpha, Expectation


class DoseExpectation(Expectation):
    """Base of what is expected of a dose series."""

    p: Alpha = 0.05

    @property
    def token(self) -> str:
        """The token whose log-probability it reads, as written in the file."""
        return str(getattr(self, self.KEY))

    def tokens(self) -> dict[str, tuple[str, ...]]:
        """The token."""
        return {self.KEY: (self.token,)}


class Rises(DoseExpectation):
    """The token's log-probability rises with the dose: Spearman ρ > 0, exact permutation p."""

    KEY: ClassVar[str] = "rises"
    rises: str


class Falls(DoseExpectation):
    """The token's log-probability falls with the dose: Spearman ρ < 0, exact permutation p."""

    KEY: ClassVar[str] = "falls"
    falls: str
