"""Graphs, circuits' scores and texts that come from the cache are those that were measured."""

from shutil import copytree

import pytest
from safetensors.numpy import load_file, save_file

import tracer.engine.measure.circuits
import tracer.engine.measure.graphs
import tracer.engine.measure.texts
import tracer.engine.run
from tests.bench import TINY
from tests.test_cache_rows import Lab, assert_same
from tests.test_measuring_circuits import CIRCUIT, PROMPTS
from tests.test_measuring_graphs import GRAPH
from tests.test_resolve import watched

STEPS = {
    "prompts": PROMPTS,
    "graph": GRAPH,
    "circuit": {"states": CIRCUIT | {"expect": [{"faithfulness": {"above": -5}}]}},
    "interventions": {
        "swap": TINY["interventions"]["swap"]
        | {"generate": {"tokens": 4, "temperature": 1.0, "samples": 2}}
    },
}
MADE = (
    (tracer.engine.measure.graphs, "attributed"),
    (tracer.engine.measure.graphs, "firings"),
    (tracer.engine.measure.circuits, "read_of_rows"),
    (tracer.engine.measure.texts, "write"),
)


@pytest.fixture
def made(monkeypatch):
    """What was measured anew, in order."""
    seen = []
    for module, name in MADE:
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
    assert set(made) == {name for _, name in MADE}
    made.clear()
    second = lab.run(**STEPS)
    assert made == [] and second[2] == 0
    assert_same(first, second)
    assert len(graphs_of(lab, 1)) == 2
    assert graphs_of(lab, 1) == graphs_of(lab, 2)
    assert_same(second, lab.run(cached=False, **STEPS))


SWAP = STEPS["interventions"]["swap"]
TEXAS = TINY["supernodes"]["texas"]
GRAPH_STEPS, ALL = {"attributed", "firings"}, {name for _, name in MADE}


def writing(**changes):
    """The intervention with its text written otherwise."""
    return {"interventions": {"swap": SWAP | {"generate": SWAP["generate"] | changes}}}


def circuit(**changes):
    return {"circuit": {"states": STEPS["circuit"]["states"] | changes}}


def graph(**changes):
    return {"graph": GRAPH | changes}


def prompts(*without, **changes):
    kept = {name: each for name, each in PROMPTS.items() if name not in without}
    return {"prompts": kept | changes}


CHANGES = {
    "another prompt added": (
        prompts(waco={"city": "Waco", "held_out": True})
        | {"interventions": {"swap": SWAP | {"prompts": ["dallas", "plano", "waco"]}}},
        {"firings", "write"},
    ),
    "a prompt that no graph is of reworded": (
        prompts(miami={"city": "Houston"}),
        {"firings", "read_of_rows"},
    ),
    "the template": ({"template": "the city in the state of {city} is"}, ALL),
    "the seed": ({"seed": 3}, ALL),
    "a supernode's members": (
        {"supernodes": TINY["supernodes"] | {"texas": {"select": TEXAS["select"] | {"top": 5}}}},
        ALL,
    ),
    "the order of supernodes": (
        {"supernodes": dict(reversed(TINY["supernodes"].items()))},
        GRAPH_STEPS,
    ),
    "what is checked": (graph(check=4), GRAPH_STEPS),
    "how many features are kept": (graph(max_features=50), GRAPH_STEPS),
    "how many heads are nodes": (graph(heads=3), GRAPH_STEPS),
    "what is explained": (graph(toward={"token": " Austin"}), GRAPH_STEPS),
    "which prompt has a graph": (graph(prompts=["oakland"]), GRAPH_STEPS),
    "what a circuit is scored by": (circuit(metric={"token": " Austin"}), {"read_of_rows"}),
    "what it consists of": (circuit(supernodes=["texas"]), {"read_of_rows"}),
    "its reference": (circuit(reference=["miami"]), {"read_of_rows"}),
    "how many random circuits": (circuit(random=8), {"read_of_rows"}),
    "the length of a text": (writing(tokens=5), {"write"}),
    "its temperature": (writing(temperature=0.5), {"write"}),
    "how many samples": (writing(samples=3), {"write"}),
    "the seed of samples": (writing(seed=4), {"write"}),
    "the clamp": (
        {"interventions": {"swap": SWAP | {"clamp": {"texas": 0, "california": 2}}}},
        {"write"},
    ),
    "what is frozen": ({"interventions": {"swap": SWAP | {"freeze": "attention"}}}, {"write"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_step_is_made_again_when_something_it_depends_on_changes(lab, made, name):
    changed, again = CHANGES[name]
    lab.run(**STEPS)
    made.clear()
    found = lab.run(**STEPS | changed)
    assert set(made) == again
    assert_same(found, lab.run(cached=False, **STEPS | changed))


def test_a_held_out_prompt_may_go_or_be_renamed(lab, made):
    """A kept graph told where features fire on a prompt that is in the file no more."""
    with_waco = prompts(waco={"city": "Waco", "held_out": True})
    three = {"interventions": {"swap": SWAP | {"prompts": ["dallas", "plano", "waco"]}}}
    lab.run(**STEPS | with_waco | three)
    renamed = prompts("plano", piano={"city": "Plano", "held_out": True})
    renamed["interventions"] = {"swap": SWAP | {"prompts": ["dallas", "piano"]}}
    renamed |= circuit(prompts=["dallas", "piano"])
    for changed in (STEPS, STEPS | renamed):
        made.clear()
        found = lab.run(**changed)
        assert "attributed" not in made and "firings" in made
        assert_same(found, lab.run(cached=False, **changed))


def test_other_weights_and_another_number_type_share_nothing(lab, made, tiny, tmp_path):
    lab.run(**STEPS)
    other = copytree(tiny, tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    save_file({name: 1.01 * x for name, x in weights.items()}, other / "model.safetensors")
    for changed in ({"name": str(other)}, {"name": str(tiny), "dtype": "float64"}):
        made.clear()
        lab.run(**STEPS, model=changed | {"device": "cpu"})
        assert set(made) == ALL


def test_entries_that_are_something_else_are_made_again(lab, made):
    first = lab.run(**STEPS)
    for path in lab.store.folder.glob("??/*.safetensors"):
        lab.store.write("".join([path.parent.name, path.stem]), {}, {"graph": {}, "record": 3})
    made.clear()
    assert_same(first, lab.run(**STEPS))
    assert set(made) == {name for _, name in MADE}


@pytest.fixture
def resolved(monkeypatch):
    return watched(monkeypatch)


OTHER = TINY["interventions"]["swap"] | {"expect": [{"top": " Miami"}]}
RESOLVED = {
    "nothing": ({}, []),
    "the seed": ({"seed": 3}, []),
    "a token more that is asked about": (
        {
            "interventions": {
                "swap": TINY["interventions"]["swap"] | {"expect": [{"top": " Miami"}]}
            }
        },
        [],
    ),
    "a rule": (
        {"supernodes": TINY["supernodes"] | {"texas": {"select": TEXAS["select"] | {"top": 5}}}},
        ["texas"],
    ),
    "the text of a prompt that rules read": (
        {"prompts": TINY["prompts"] | {"dallas": TINY["prompts"]["dallas"] | {"city": "Houston"}}},
        ["dallas", "texas", "california"],
    ),
    "the answer of a prompt that rules read": (
        {"prompts": TINY["prompts"] | {"dallas": TINY["prompts"]["dallas"] | {"answer": " of"}}},
        ["texas", "california"],
    ),
    "the text of another prompt": (
        {"prompts": TINY["prompts"] | {"plano": TINY["prompts"]["plano"] | {"city": "Miami"}}},
        ["plano"],
    ),
}


@pytest.mark.parametrize("change", RESOLVED)
def test_passes_and_rules_are_made_once(lab, resolved, change):
    changed, made = RESOLVED[change]
    lab.run()
    resolved.clear()
    found = lab.run(**changed)
    assert resolved == made
    assert_same(found, lab.run(cached=False, **changed))
