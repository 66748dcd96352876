"""Declarative experiments on the inside of language models.

In three lines, from Python or a notebook:

    import tracer
    run = tracer.run("hypotheses/two_hop.yaml")
    print(run)

Public names: `load` reads a file into a `Hypothesis`; `run` measures and judges one and gives a
`Run`, `run_matrix` does so on several models or feature bases; `Run.open` opens an earlier one; a
run's `Verdict` is truthy exactly when it came out as the file expected; `attribution_graph` takes
the graph of a prompt. Mistakes a user can do something about are
`tracer.errors.TracerError`.

Names are resolved when they are first used, here and nowhere else, so that reading, judging and
reporting work without torch, and so that a front end can draw while torch is being imported.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracer import attempt_measure as attempt_measure
    from tracer import feature_card as feature_card
    from tracer import graphs as graphs
    from tracer import opened as opened
    from tracer import runner as runner
    from tracer import specificity_measure as specificity_measure
    from tracer.api import load, run, run_matrix
    from tracer.evidence.verdict import Verdict
    from tracer.graphs import attribution_graph
    from tracer.hypothesis.spec import Hypothesis
    from tracer.model import folder as folder
    from tracer.model import weights as weights
    from tracer.result import Run
    from tracer.selftest import trials as trials

__version__ = "0.1.0"
__all__ = ["Hypothesis", "Run", "Verdict", "attribution_graph", "load", "run", "run_matrix"]

_HOMES = {
    "Hypothesis": "tracer.hypothesis.spec",
    "Run": "tracer.result",
    "Verdict": "tracer.evidence.verdict",
    "attribution_graph": "tracer.graphs",
    "load": "tracer.api",
    "run": "tracer.api",
    "run_matrix": "tracer.api",
}
_ENGINE = {
    "attempt_measure": "tracer.attempt_measure",
    "feature_card": "tracer.feature_card",
    "folder": "tracer.model.folder",
    "graphs": "tracer.graphs",
    "opened": "tracer.opened",
    "runner": "tracer.runner",
    "specificity_measure": "tracer.specificity_measure",
    "trials": "tracer.selftest.trials",
    "weights": "tracer.model.weights",
}
"""The rooms behind torch that the front end asks for; not public."""


def __getattr__(name: str) -> Any:
    if name in _ENGINE:
        return importlib.import_module(_ENGINE[name])
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'tracer' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
