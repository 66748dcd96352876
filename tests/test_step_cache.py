"""Graphs, circuits' scores and texts that come from the cache are those that were measured."""

import pytest

import tracer.circuit_measure
import tracer.graph_measure
import tracer.runner
import tracer.text_measure
from tests.bench import TINY
from tests.test_circuit_measure import CIRCUIT, PROMPTS
from tests.test_graph_measure import GRAPH
from tests.test_row_cache import Lab, assert_same

STEPS = {
    "prompts": PROMPTS,
    "graph": GRAPH,
    "circuit": {"states": CIRCUIT | {"expect": [{"faithfulness": {"above": -5}}]}},
    "interventions": {
        "swap": TINY["interventions"]["swap"]
        | {"generate": {"tokens": 4, "temperature": 1.0, "samples": 2}}
    },
}
MADE = {
    tracer.graph_measure: "attribute",
    tracer.circuit_measure: "run_rows",
    tracer.text_measure: "write",
}


@pytest.fixture
def made(monkeypatch):
    """What was measured anew, in order."""
    seen = []
    for module, name in MADE.items():
        real = getattr(module, name)

        def counted(*arguments, real=real, name=name):
            seen.append(name)
            return real(*arguments)

        monkeypatch.setattr(module, name, counted)
    return seen


@pytest.fixture
def lab(tiny, tmp_path, monkeypatch):
    return Lab(tiny, tmp_path, monkeypatch)


def graphs_of(lab, number):
    found = sorted((lab.folder / f"reports{number}").glob("tiny/*/graph-*"))
    return [(path.name, path.read_bytes()) for path in found]


def test_a_second_run_makes_no_step_again_and_is_the_same(lab, made):
    first = lab.run(**STEPS)
    assert set(made) == set(MADE.values())
    made.clear()
    second = lab.run(**STEPS)
    assert made == [] and second[2] == 0
    assert_same(first, second)
    assert len(graphs_of(lab, 1)) == 2
    assert graphs_of(lab, 1) == graphs_of(lab, 2)
    assert_same(second, lab.run(cached=False, **STEPS))


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ({"graph": GRAPH | {"check": 4}}, {"attribute"}),
        ({"graph": GRAPH | {"toward": {"token": " Austin"}}}, {"attribute"}),
        ({"circuit": {"states": CIRCUIT | {"metric": {"token": " Austin"}}}}, {"run_rows"}),
        (
            {
                "interventions": {
                    "swap": TINY["interventions"]["swap"]
                    | {"generate": {"tokens": 5, "temperature": 1.0, "samples": 2}}
                }
            },
            {"write"},
        ),
    ],
)
def test_only_the_step_that_changed_is_made_again(lab, made, changed, again):
    lab.run(**STEPS)
    made.clear()
    found = lab.run(**STEPS | changed)
    assert set(made) == again
    assert_same(found, lab.run(cached=False, **STEPS | changed))


def test_entries_that_are_something_else_are_made_again(lab, made):
    first = lab.run(**STEPS)
    for path in lab.store.folder.glob("??/*.safetensors"):
        lab.store.write("".join([path.parent.name, path.stem]), {}, {"graph": {}, "record": 3})
    made.clear()
    assert_same(first, lab.run(**STEPS))
    assert set(made) == set(MADE.values())
