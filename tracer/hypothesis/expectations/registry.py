"""Every kind of expectation a file may state: a new one is a class of its own file, and named here.

How each is judged stands in `tracer.evidence.measures`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracer.hypothesis.expectations.attends import Attends
from tracer.hypothesis.expectations.base import Expectation, GraphExpectation, form_of
from tracer.hypothesis.expectations.because import Because
from tracer.hypothesis.expectations.carried import Carried
from tracer.hypothesis.expectations.dose import DoseExpectation, Falls, Rises
from tracer.hypothesis.expectations.edge import Edge
from tracer.hypothesis.expectations.effect import LogitDiff, Probability
from tracer.hypothesis.expectations.fraction import Fraction
from tracer.hypothesis.expectations.python import Python
from tracer.hypothesis.expectations.text import InLanguage, RhymesWith, Says, SaysNot
from tracer.hypothesis.expectations.top import Rank, TopIs, TopIsNot

EXPECTATIONS: tuple[type[Expectation], ...] = (
    TopIs,
    TopIsNot,
    Rank,
    Probability,
    LogitDiff,
    Fraction,
    Attends,
    Says,
    SaysNot,
    InLanguage,
    RhymesWith,
    Python,
)
"""Of clamps; each is told by its key."""
DOSE_EXPECTATIONS: tuple[type[DoseExpectation], ...] = (Rises, Falls)
"""Of a dose series."""
GRAPH_EXPECTATIONS: tuple[type[GraphExpectation], ...] = (Edge, Carried, Because, Attends)
"""Of attribution graphs."""

if TYPE_CHECKING:
    ExpectationForm = Expectation
    DoseExpectationForm = DoseExpectation
    GraphExpectationForm = GraphExpectation
else:
    ExpectationForm = form_of(EXPECTATIONS, "an expectation needs one measure: ")
    DoseExpectationForm = form_of(DOSE_EXPECTATIONS, "a dose expectation needs one of: ")
    GraphExpectationForm = form_of(GRAPH_EXPECTATIONS, "an expectation of a graph needs one of: ")
