"""`tracer graph FILE --consensus` on the tiny model: counted again from the prompts' own graphs."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracer.engine
from tests.bench import TINY
from tests.command import call
from tests.tiny_file import write_tiny
from tracer.record.graph.consensus import PRUNINGS
from tracer.record.graph.files import read

NAMES = ("dallas", "oakland", "plano")
EXPLAINED = ("--max-features", "30", "--toward", " Austin")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)


def told(capfd: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    result = call(capfd, "graph", "tiny.yaml", "--consensus", *EXPLAINED, "--json", "c.json", *more)
    assert result.code == 0, result.err
    [graph] = json.loads(Path("c.json").read_text())["graphs"]
    assert max(len(line) for line in result.out.splitlines() if "graphs/" not in line) <= 80
    return graph


def features_by_pruning(capfd: pytest.CaptureFixture[str]) -> list[dict[str, set[str]]]:
    """Of each prompt alone, by pruning; prompts have the same length, so positions are places."""
    found: list[dict[str, set[str]]] = []
    for pruning in PRUNINGS:
        shares = f"{pruning.nodes},{pruning.edges}"
        out = ("--out", f"alone-{shares}", "--prune", shares)
        assert call(capfd, "graph", "tiny.yaml", *EXPLAINED, *out).code == 0
        ids = {}
        for name in NAMES:
            [path] = Path(f"alone-{shares}").glob(f"tiny-{name}-*.json")
            ids[name] = set(read(path).nodes.feature_ids())
        found.append(ids)
    return found


def test_the_core_is_what_the_prompts_graphs_have(tiny: Path, capfd):
    write_tiny(Path(), tiny)
    graph = told(capfd, "--core", "0.6", "--html")
    facts = graph["consensus"]
    by_pruning = features_by_pruning(capfd)
    every = set().union(*by_pruning[0].values())
    counts = {each: sum(each in some for some in by_pruning[0].values()) for each in every}
    assert facts["feature_spread"] == [list(counts.values()).count(n) for n in (1, 2, 3)]
    json_path, *_, page = map(Path, graph["files"])
    core = read(json_path)
    assert set(core.nodes.feature_ids()) == {each for each, n in counts.items() if n >= 2}
    assert facts["prompts"] == [*NAMES] and facts["held_out"] == ["plano"]
    assert [each["label"] for each in graph["targets"]] == [" Austin"]
    assert set(core.subject.token_ids) == {-1} and np.isfinite(core.values).all()
    features = [each for each in facts["nodes"] if each["activation"] is not None]
    for each in features:
        on = [sum(each["id"] in some for some in ids.values()) for ids in by_pruning]
        assert each["support"]["on"] == on
        assert each["support"]["held_out"] == (each["id"] in by_pruning[0]["plano"])
    first = core.subject.tokens.index("{city}")
    assert facts["n_first_features"] == (core.nodes.features[:, 1] < first).sum()
    sources, targets = core.nodes.source_places[:, 1], core.nodes.target_places[:, 1]
    rows, columns = np.nonzero(core.edges)
    assert facts["n_first_edges"] == ((sources[columns] < first) & (targets[rows] < first)).sum()
    packed = re.findall(r"data-graph>([^<]+)</script>", page.read_text(encoding="utf-8"))
    data = json.loads(gzip.decompress(base64.b64decode(packed[0])))
    assert len(data["on"]) == len(data["links"]) and data["on"][0].endswith("of 3 prompts")
    shown = {node["id"]: dict(node["facts"])["On"] for node in data["nodes"]}
    for each in features:
        n, held_out = each["support"]["on"][0], each["support"]["held_out"]
        assert shown[each["id"]] == f"{n} of 3 prompts, {held_out} of 1 held out"
    again = call(capfd, "graph", str(json_path), "--json")
    assert json.loads(again.out)["graphs"][0]["consensus"] == facts


def test_paraphrases_are_further_prompts(tiny: Path, capfd):
    varied = {"templates": {"asked": "in the state of {city} the capital is"}}
    write_tiny(Path(), tiny, robustness=varied)
    facts = told(capfd, "--prompt", "dallas", "--prompt", "oakland")["consensus"]
    assert facts["prompts"] == ["dallas", "oakland", "dallas (asked)", "oakland (asked)"]
    uncommon = {each["place"]: each["having"] for each in facts["uncommon"]}
    assert uncommon and set(uncommon.values()) == {2}
    assert not {"{city}", "{last}"} & uncommon.keys()


def test_the_answer_is_explained_where_the_file_says_nothing_else(tiny: Path, capfd):
    answers = {"dallas": " Austin", "oakland": " Sacramento", "plano": " Austin"}
    prompts = {n: TINY["prompts"][n] | {"answer": answer} for n, answer in answers.items()}
    write_tiny(Path(), tiny, prompts=prompts)
    result = call(capfd, "graph", "tiny.yaml", "--consensus", "--max-features", "9", "--json")
    [graph] = json.loads(result.out)["graphs"]
    assert [(each["label"], each["token"]) for each in graph["targets"]] == [("answer", None)]
    section = {"prompts": [*NAMES], "toward": {"logit_diff": [" Austin", " Texas"]}}
    write_tiny(Path(), tiny, prompts=prompts, graph=section | {"max_features": 9})
    result = call(capfd, "graph", "tiny.yaml", "--consensus", "--json")
    [graph] = json.loads(result.out)["graphs"]
    assert [each["label"] for each in graph["targets"]] == [" Austin − Texas"]


@pytest.mark.parametrize(
    ("changes", "more", "sentence"),
    [
        ({}, [], "prompts 'dallas', 'oakland', 'plano': without an answer, nothing is explained"),
        ({}, ["--prompt", "dallas"], "a consensus is of two prompts at least, not of 1"),
        ({}, ["--core", "0"], "--core 0: a share of the prompts above 0, at most 1"),
        ({}, ["--prune", "0.8,0.9"], "--prune is for the graph of one prompt"),
        ({}, ["--frontend"], "--frontend is for the graph of one prompt"),
    ],
)
def test_bad_usage_is_told_before_a_model_is_opened(tiny: Path, capfd, changes, more, sentence):
    write_tiny(Path(), tiny, **changes)
    result = call(capfd, "graph", "tiny.yaml", "--consensus", *more)
    assert result.code == 4 and sentence in " ".join(result.err.split())
    assert "loading" not in result.err and not Path("graphs").exists()


def test_a_text_has_no_consensus_and_a_core_wants_one(capfd):
    assert "a text was given" in call(capfd, "graph", "the capital", "--consensus").err
    assert "--core is for --consensus" in call(capfd, "graph", "the capital", "--core", "1").err


def test_prompts_that_do_not_align_are_told_before_a_graph_is_taken(tiny, capfd, monkeypatch):
    texts = {"dallas": "the capital of the state is", "oakland": "the capital is"}
    prompts = {name: {"text": text} for name, text in texts.items()}
    rules = {n: each["select"] | {"at": "last"} for n, each in TINY["supernodes"].items()}
    supernodes = {name: {"select": rule} for name, rule in rules.items()}
    swap = TINY["interventions"]["swap"] | {"prompts": ["dallas"]}
    changes = {"supernodes": supernodes, "interventions": {"swap": swap}}
    write_tiny(Path(), tiny, prompts=prompts, template=None, **changes)
    taken: list[object] = []
    monkeypatch.setattr(tracer.engine.consensus, "take_graph", taken.append)
    result = call(capfd, "graph", "tiny.yaml", "--consensus", "--toward", " Austin")
    assert result.code == 4 and not taken
    line = 1 + Path("tiny.yaml").read_text().splitlines().index("  oakland:")
    said = " ".join(result.err.split())
    assert f"tiny.yaml:{line}:" in said
    assert "tokens outside of spans stand before its 'last', where 'dallas' has" in said
