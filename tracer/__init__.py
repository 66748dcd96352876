"""Declarative experiments on the inside of language models.

In three lines, from Python or a notebook:

    import tracer
    run = tracer.run("hypotheses/two_hop.yaml")
    print(run)

Public names: `load` reads a file into a `Hypothesis`; `run` measures and judges one and gives a
`Run`, `run_matrix` does so on several models or feature bases; `Run.open` opens an earlier one; a
run's `Verdict` is truthy exactly when it came out as the file expected; `attribution_graph` takes
the graph of a prompt; a `Session` keeps one model open to be asked, clamped and looked into.
Mistakes a user can do something about are
`tracer.errors.TracerError`.

Names are resolved when they are first used, so that reading, judging and reporting work without
torch, and so that a front end can draw while torch is being imported.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from tracer.api.expectation import expectation as expectation
    from tracer.api.graph import Graph as Graph
    from tracer.api.graph import attribution_graph as attribution_graph
    from tracer.api.hypotheses import load as load
    from tracer.api.hypotheses import run as run
    from tracer.api.hypotheses import run_matrix as run_matrix
    from tracer.api.session.session import Session as Session
    from tracer.hypothesis.spec import Hypothesis as Hypothesis
    from tracer.record.verdict import Verdict as Verdict
    from tracer.report.run import Run as Run

__version__ = "0.1.0"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
"""Read by OpenMP when torch is imported. Threads that spin while they wait for one another make a
pass ten times as slow beside one busy process; `benchmarks/beside_work.py` measures it."""
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "api.expectation": ["expectation"],
        "api.graph": ["Graph", "attribution_graph"],
        "api.hypotheses": ["load", "run", "run_matrix"],
        "api.session.session": ["Session"],
        "hypothesis.spec": ["Hypothesis"],
        "record.verdict": ["Verdict"],
        "report.run": ["Run"],
    },
)
