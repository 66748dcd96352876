from __future__ import annotations

import base64
import gzip
import json
import os
import re
import webbrowser
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.command import Result, call
from tests.graphs import empty_graph, hand_graph
from tests.opened import TEXT, attributed_of, graph_of, open_tiny
from tests.tiny_file import write_tiny
from tracer.engine.attribution.query_key import qk_attribution
from tracer.engine.features.neurons import NeuronBasis
from tracer.hypothesis.heads import HeadName
from tracer.hypothesis.neuronpedia_ids import parse_feature
from tracer.record.graph import neuronpedia_import
from tracer.record.graph.files import read
from tracer.record.graph.graph import source_ids
from tracer.record.graph.influence import influence, scores
from tracer.record.graph.prune import prune
from tracer.record.graph.summary import kept_influence, summarise

Command = Callable[..., Result]


@pytest.fixture
def tracer_(
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny: Path,
) -> Command:
    """`tracer graph` on the tiny model, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    small = ("--model", str(tiny), "--device", "cpu", "--max-features", "40")
    return partial(call, capfd, "graph", *small)


@pytest.fixture
def whole(tiny: Path):
    model = open_tiny(tiny)
    return graph_of(model, NeuronBasis(model), 40)


def test_it_writes_a_graph_and_sums_it_up(tracer_: Command, whole):
    result = tracer_(TEXT)
    assert result.code == 0, result.err
    [path] = Path("graphs").glob("*.json")
    assert path.name.startswith("the-capital-of-the-state-containing-dallas-is-in-the-city")
    found, wanted = read(path), prune(whole)
    np.testing.assert_array_equal(found.nodes.features, wanted.nodes.features)
    assert found.pruning == wanted.pruning
    assert str(path) in result.out and str(path.with_suffix(".safetensors")) in result.out
    assert "<bos>the capital of the state containing Dallas" in result.out
    share = f"{100 * whole.subject.relevance_share:.0f} %"
    text = " ".join(result.out.split())
    assert f"40 of 1,664 active neurons carry {share} of the relevance; the rest is in" in text
    n_nodes = wanted.nodes.n_sources + len(wanted.nodes.logits)
    assert f"{n_nodes} nodes, {(wanted.edges != 0).sum()} edges" in text
    assert f"replacement score {scores(whole).replacement:.2f}" in text
    assert max(len(line) for line in result.out.splitlines() if "graphs/" not in line) <= 80
    assert "\x1b" not in result.out + result.err


def test_the_same_graph_has_the_same_name_and_another_its_own(tracer_: Command):
    for more in ([], [], ["--toward", " Austin"], ["--prune", "none"], ["--max-features", "39"]):
        assert tracer_(TEXT, *more).code == 0
    assert len(list(Path("graphs").glob("*.json"))) == 4


def test_json_tells_the_same_to_programs(tracer_: Command, whole):
    result = tracer_(TEXT, "--json", "--frontend", "--out", "a/b", "--prune", "0.6,0.9")
    document = json.loads(result.out)
    assert document["schema"] == "tracer.graphs/1"
    [graph] = document["graphs"]
    pruned = prune(whole, 0.6, 0.9)
    assert graph["tokens"][0] == "<bos>"
    assert graph["pruning"] == {"nodes": 0.6, "edges": 0.9}
    assert (graph["n_active"], graph["n_kept"]) == (whole.subject.n_active, 40)
    assert graph["replacement"] == pytest.approx(scores(whole).replacement)
    assert graph["targets"][0]["label"] == whole.nodes.logits[0].label
    by_hand = influence(whole).features
    strongest = np.argsort(-by_hand)[0]
    layer, pos, index = whole.nodes.features[strongest].tolist()
    [first, *_] = graph["features"]
    assert first["id"] == f"{layer}_{index}_{pos}"
    assert first["influence"] == pytest.approx(float(by_hand[strongest]))
    files = [Path(name) for name in graph["files"]]
    assert all(file.is_file() for file in files)
    assert files[2].parent == Path("a/b/frontend")
    back = neuronpedia_import.read_either(files[2]).graph
    np.testing.assert_array_equal(back.nodes.features, pruned.nodes.features)


def test_heads_are_found_of_what_the_pruning_leaves(tracer_: Command):
    result = tracer_(TEXT, "--heads", "--html", "--json", "out.json")
    assert result.code == 0, result.err
    assert "through heads" in result.out
    [path] = Path("graphs").glob("*.json")
    graph = read(path)
    assert graph.heads is not None
    assert graph.heads.heads.shape == ((graph.edges != 0).sum(), 4)
    data = json.loads(Path("out.json").read_text())["graphs"][0]
    carried = [each["strongest"]["heads"] for each in data["features"]]
    assert {tuple(head) for heads in carried for head in heads} == {("layer", "head", "weight")}
    [page] = Path("graphs").glob("*.html")
    assert "Heads, share of the link" in page.read_text()
    again = tracer_(TEXT)
    assert "through heads" not in again.out


def test_why_a_head_looks_there_is_told(tracer_: Command, tiny: Path, whole):
    result = tracer_(TEXT, "--why", "1.2", "last", "Dallas", "--json", "out.json", "--html")
    assert result.code == 0, result.err
    text = " ".join(result.out.split())
    assert "head 1.2 looks from ' Texas' (13) at ' Dallas' (7) with" in text
    data = json.loads(Path("out.json").read_text())["graphs"][0]["why"]
    model = open_tiny(tiny)
    taken = attributed_of(model, NeuronBasis(model), 40)
    found = qk_attribution(model, taken.nodes, HeadName(1, 2), 13, 7)
    assert (data["query"], data["key"], data["against"]) == (13, 7, None)
    assert data["score"] == pytest.approx(found.score, abs=1e-4)
    assert data["total"] == pytest.approx(found.score, abs=1e-4)
    assert data["attention"] == pytest.approx(found.pattern.tolist(), abs=1e-5)
    sides = found.query_marginals, found.key_marginals
    strongest = [side.abs().argsort(descending=True)[:10] for side in sides]
    pairs = found.pairs(*strongest).abs().flatten().sort(descending=True).values
    parts = [abs(each["part"]) for each in data["pairs"]]
    assert parts == pytest.approx(pairs[:10].tolist(), abs=1e-4)
    ids = [*source_ids(taken.graph.nodes, taken.graph.subject), "constant"]
    for side, marginals in (
        ("query_side", found.query_marginals),
        ("key_side", found.key_marginals),
    ):
        for each in data[side]:
            wanted = float(marginals[ids.index(each["id"])])
            assert each["part"] == pytest.approx(wanted, abs=1e-4)
        others = data["total"] - sum(each["part"] for each in data[side])
        rest = marginals.sum() - sum(marginals[ids.index(each["id"])] for each in data[side])
        assert others == pytest.approx(float(rest), abs=1e-4)
    assert f"{len(ids) - 10} others" in text
    named = [each["id"] for each in [*data["query_side"], *data["key_side"]] if "_" in each["id"]]
    assert set(data["features"]) == set(filter(parse_feature, named))
    [page] = Path("graphs").glob("*.html")
    drawn = _packed(page.read_text(), "data-pattern")
    pattern = taken.nodes.frozen.blocks[1].pattern[2].numpy()
    assert (drawn["query"], drawn["key"], drawn["positions"]) == (13, 7, list(range(14)))
    for n, row in enumerate(drawn["rows"]):
        np.testing.assert_allclose(row, pattern[n, : n + 1], atol=6e-5)
    assert "Why head 1.2 looks from" in page.read_text()


def _packed(page: str, mark: str):
    """The JSON that a page carries under a mark."""
    [text] = re.findall(f"<script[^>]*{mark}>([^<]+)<", page)
    return json.loads(gzip.decompress(base64.b64decode(text)))


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("1-2", "last", "Dallas"), "--why '1-2': a head is its layer and its number, as in 9.1."),
        (("1.2", "last", "Paris"), "'Paris' is no token of the prompt; a position, a token, last"),
        (("1.2", "last", " the"), "' the' is at positions 4, 10 of the prompt: name one"),
        (("1.2", "last", "99"), "position 99: the prompt has positions 0 to 13."),
        (("1.2", "last", "-40"), "position -40: the prompt has positions 0 to 13."),
        (("1.2", "last", "5", "--against", "5"), "position 5 against itself is no difference."),
        (("1.2", "3", "-2"), "head 1.2 cannot look from position 3 at 12: that comes later."),
        (("7.2", "last", "3"), "head 7.2: the model has layers 0 to 1, each with heads 0 to 3."),
    ],
)
def test_a_head_or_token_that_is_none_is_a_sentence(tracer_: Command, more, sentence: str):
    result = tracer_(TEXT, "--why", *more)
    assert result.code == 4
    assert sentence in " ".join(result.err.split())
    assert "sweeping" not in result.err


def test_why_against_another_key_and_a_span_of_a_file(tracer_: Command, tiny: Path):
    path = str(write_tiny(tiny, "it.yaml"))
    more = ("--prompt", "dallas", "--json")
    for against in ("mean", "capital"):
        asked = ("--why", "1.0", "last", "city", "--against", against)
        result = tracer_(path, *asked, *more)
        assert result.code == 0, result.err
        [graph] = json.loads(result.out)["graphs"]
        why = graph["why"]
        assert graph["tokens"][why["key"]] == " Dallas"
        assert why["against"] == ("mean" if against == "mean" else 2)
        assert why["total"] != why["score"]


def test_prompts_of_a_file_with_its_own_model(tracer_: Command, tiny: Path, capfd):
    write_tiny(Path(), tiny)
    names = ("--prompt", "oakland", "--prompt", "plano")
    result = call(capfd, "graph", "tiny.yaml", *names, "--max-features", "20", "--json")
    assert result.code == 0, result.err
    graphs = json.loads(result.out)["graphs"]
    assert [graph["name"] for graph in graphs] == ["tiny-oakland", "tiny-plano"]
    assert Path(graphs[0]["files"][0]).name.startswith("tiny-oakland-")
    result = tracer_("tiny.yaml", "--prompt", "dalas")
    assert (result.code, "no prompt 'dalas'. Did you mean 'dallas'?" in result.err) == (4, True)
    assert "absent.yaml: there is no such file" in tracer_("absent.yaml").err


def test_a_file_s_graph_section_is_taken_unless_an_option_says_otherwise(
    tiny: Path, tmp_path, capfd
):
    section = {"prompts": ["oakland"], "toward": {"token": " Austin"}, "max_features": 9}
    file = write_tiny(tmp_path, tiny, graph=section | {"heads": 5})
    told = ("graph", str(file), "--out", str(tmp_path), "--json")
    [graph] = json.loads(call(capfd, *told).out)["graphs"]
    assert (graph["name"], graph["n_kept"]) == ("tiny-oakland", 9)
    assert graph["heads"]["n_all"] == 2 * 4 * 5
    assert 0 < graph["heads"]["n_left"] <= 5
    assert 0 < graph["heads"]["relevance_share"] < 1
    assert [target["label"] for target in graph["targets"]] == [" Austin"]
    other = ("--prompt", "dallas", "--toward", " Texas", "--max-features", "5", "--max-heads", "0")
    [graph] = json.loads(call(capfd, *told, *other).out)["graphs"]
    assert (graph["name"], graph["n_kept"], graph["heads"]) == ("tiny-dallas", 5, None)
    assert [target["label"] for target in graph["targets"]] == [" Texas"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--prune", "0.8,1.2"], "--prune '0.8,1.2': two shares between 0 and 1 are expected"),
        (["--prune", "nan,0.5"], "--prune 'nan,0.5'"),
        (["--prune", "0.8"], "--prune '0.8'"),
        (["--prune", "all"], "--prune 'all'"),
        (["--features", "nonsense"], "unknown features 'nonsense'"),
        (["--against", " Texas"], "`against` goes with exactly one token"),
        (["--toward", " Austin Texas"], "' Austin Texas' is 2 tokens"),
        (["--dtype", "int3"], "dtype 'int3' is not known"),
        (["--device", "abacus"], "device 'abacus' is not known"),
        (["--prompt", "dallas"], "a text was given"),
        (["--max-features", "0"], "from 1 to 50,000 features"),
        (["--model", "no/such/folder"], "no/such/folder"),
    ],
)
def test_bad_usage_is_4_and_a_sentence(tracer_: Command, arguments: list[str], sentence: str):
    result = tracer_(TEXT, *arguments)
    assert result.code == 4
    assert sentence in result.err
    assert "Traceback" not in result.err
    assert "nonsense" not in arguments or "loading" not in result.err
    assert not list(Path().rglob("*.json"))


def test_nothing_but_tokens_and_logits_may_be_left(tracer_: Command):
    result = tracer_("the capital of", "--max-features", "5000", "--prune", "0,0")
    assert result.code == 0, result.err
    assert "carry 100 % of the relevance\n" in result.out
    assert "strongest edge" not in result.out


def test_a_prompt_of_one_token_is_a_sentence(tracer_: Command):
    result = tracer_("")
    assert (result.code, "a graph needs at least 2" in result.err) == (4, True)


def test_a_folder_that_cannot_be_written_is_found_out_first(tracer_: Command):
    Path("taken").write_text("a file")
    result = tracer_(TEXT, "--out", "taken/below", "--frontend")
    assert result.code == 4
    assert "--out taken/below/frontend: cannot write there" in result.err
    assert "loading" not in result.err


def test_a_terminal_is_only_told_what_it_shows(tracer_: Command):
    result = tracer_("the capital\x1b[31m\x07 of\u202e the state\n is")
    assert result.code == 0, result.err
    assert not {"\x1b", "\x07", "\u202e"} & set(result.out)
    assert os.listdir("graphs")[0].startswith("the-capital-31m-of-the-state-is-")


def test_a_summary_by_hand():
    graph = hand_graph()
    found = summarise(graph, graph, kept_influence(graph, graph), n=2)
    assert (found.n_kept, found.n_nodes, found.n_edges) == (3, 8, 11)
    assert [feature.id for feature in found.features] == ["1_2_1", "0_7_1"]
    strongest = found.features[0].strongest
    assert strongest == (" X", True, 3.0, ())
    assert found.features[1].strongest == ("1_2_1", False, -2.0, ())
    assert found.features[0].influence == pytest.approx(0.6 * 3 / 4 + 0.3 / 4)


def test_a_summary_of_no_features():
    graph = empty_graph()
    assert summarise(graph, graph, kept_influence(graph, graph)).features == ()


def test_influence_is_that_of_the_whole_graph(whole):
    pruned = prune(whole, 0.5, 0.9)
    kept = kept_influence(whole, pruned)
    found = influence(whole)
    by_name = dict(zip(map(tuple, whole.nodes.features.tolist()), found.features, strict=True))
    by_name |= dict(zip(map(tuple, whole.nodes.errors.tolist()), found.errors, strict=True))
    places = [*pruned.nodes.features.tolist(), *pruned.nodes.errors.tolist()]
    assert kept[: len(places)].tolist() == [by_name[tuple(place)] for place in places]
    assert kept[len(places) :].tolist() == found.tokens.tolist()


def test_a_page_shows_the_graph_with_what_features_promote(tracer_: Command, monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: asked.append(address) or True)
    result = tracer_(TEXT, "--html")
    assert result.code == 0, result.err
    [page] = Path("graphs").glob("*.html")
    assert str(page) in result.out and not asked
    text = page.read_text(encoding="utf-8")
    [packed] = re.findall(r'<script type="text/plain" data-graph>([^<]+)</script>', text)
    data = json.loads(gzip.decompress(base64.b64decode(packed)))
    [path] = Path("graphs").glob("*.json")
    nodes = read(path).nodes
    assert sum(node["kind"] == "feature" for node in data["nodes"]) == nodes.n_features
    assert all(" – " in node["label"] for node in data["nodes"] if node["kind"] == "feature")
    assert tracer_(TEXT, "--open").code == 0
    assert asked == [page.absolute().as_uri()]


def test_no_browser_is_a_sentence(tracer_: Command, monkeypatch):
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    result = tracer_(TEXT, "--open")
    assert result.code == 0
    assert "no browser could be opened; the page is graphs/" in " ".join(result.err.split())
