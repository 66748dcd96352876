"""Every example in the docstrings of the public functions runs, on a tiny model in the folder."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from pathlib import Path

import pytest

import tracer
from tests.tiny_file import write_tiny

SWAP = {
    "prompts": ["dallas", "plano"],
    "clamp": {"texas": 0, "california": 1.5},
    "expect": [{"logit_diff": [" Sacramento", " Austin"], "rises_by": 0.01}],
}
PUBLIC = (
    tracer.load,
    tracer.run,
    tracer.run_matrix,
    tracer.Run.open,
    tracer.Run.judge,
    tracer.Run.compare,
    tracer.Run.report,
    tracer.Run.to_pandas,
    tracer.attribution_graph,
    tracer.expectation,
    tracer.Graph.show,
    tracer.Graph.to_networkx,
    tracer.Session.__init__,
    tracer.Session.ask,
    tracer.Session.find,
    tracer.Session.clamp,
    tracer.Session.graph,
    tracer.Session.run,
)


@pytest.mark.parametrize("shown", PUBLIC, ids=lambda shown: shown.__qualname__)
def test_the_example_runs(
    shown: Callable[..., object], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("gemma").symlink_to(tiny)
    write_tiny(Path(), "./gemma", interventions={"swap": SWAP})
    parser, differences = doctest.DocTestParser(), list[str]()
    names, name = {"tracer": tracer}, shown.__qualname__
    test = parser.get_doctest(shown.__doc__ or "", names, name, None, None)
    assert test.examples
    doctest.DocTestRunner().run(test, out=differences.append)
    assert not differences, "".join(differences)
