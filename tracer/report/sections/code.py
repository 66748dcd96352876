"""The Python functions that a run is judged by, as the report shows them: their whole text."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.hypothesis.expectations.python import Python
from tracer.hypothesis.implied import all_interventions
from tracer.hypothesis.spec import Hypothesis


@dataclass(frozen=True)
class CodeView:
    """One function."""

    name: str
    sha256: str
    source: str
    interventions: tuple[str, ...]
    """It is expected of."""


def code_views(hypothesis: Hypothesis) -> tuple[CodeView, ...]:
    """Every function that an expectation names, once."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for name, spec in all_interventions(hypothesis).items():
        for each in spec.expect:
            if isinstance(each, Python):
                found.setdefault((each.python, each.sha256 or "", each.source or ""), []).append(
                    name
                )
    return tuple(
        CodeView(*function, tuple(dict.fromkeys(names))) for function, names in found.items()
    )
