"""`tracer graph FILE.json`: looking at, pruning and converting graphs, without a model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.command import Result, call
from tests.graph_json import TEXAS, dallas, entry
from tests.graphs import empty_graph, hand_graph, random_graph
from tracer.cli import graph_files
from tracer.cli.graph_source import is_file
from tracer.errors import UsageError
from tracer.hypothesis.neuronpedia import LabelledIds
from tracer.record.graph import files, neuronpedia_format, neuronpedia_import
from tracer.record.graph.influence import scores
from tracer.record.graph.prune import prune

Command = Callable[..., Result]


@pytest.fixture
def tracer_(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    """`tracer graph` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return partial(call, capfd, "graph")


def downloaded(**changes: Any) -> str:
    Path("dallas.json").write_text(json.dumps(dallas() | changes))
    return "dallas.json"


def words(result: Result) -> str:
    assert result.code == 0, result.err
    return " ".join(result.out.split())


def test_one_of_ours_is_summed_up_and_left_as_it_is(tracer_: Command):
    files.write(Path("g.json"), hand_graph())
    before = sorted(Path().iterdir())
    text = words(tracer_("g.json"))
    assert "3 of 40 active neurons carry 90 % of the relevance; the rest is in" in text
    assert "8 nodes, 11 edges; nothing pruned" in text
    assert f"replacement score {scores(hand_graph()).replacement:.2f}" in text
    assert "both of the graph in the file" in text
    assert "1_2_1" in text and "supernode" not in text
    assert sorted(Path().iterdir()) == before


def test_a_downloaded_one_says_what_it_does_not_know(tracer_: Command):
    groups = [["Texas", TEXAS, "5_5_5"], ["say Austin"]]
    name = downloaded(qParams={"supernodes": groups})
    text = words(tracer_(name))
    assert "gemma-2-2b, gemma-2-2b, 5 tokens" in text
    assert "3 features; the file does not tell how many more were active" in text
    assert "8 nodes, 4 edges; pruned to 0.8 of the nodes' influence, 1 of the edges'" in text
    assert f"supernode 'Texas': {TEXAS}, 5_5_5; not in the graph: 5_5_5" in text
    assert "supernode 'say Austin': nothing" in text
    [graph] = json.loads(tracer_(name, "--json").out)["graphs"]
    assert (graph["source"], graph["n_active"], graph["relevance_share"]) == (name, None, None)
    assert graph["supernodes"] == [
        {"label": "Texas", "ids": [TEXAS, "5_5_5"], "absent": ["5_5_5"]},
        {"label": "say Austin", "ids": [], "absent": []},
    ]
    assert graph["files"] == []
    assert [path.name for path in Path().iterdir()] == [name]


def test_theirs_becomes_ours_and_ours_theirs(tracer_: Command):
    name = downloaded()
    [graph] = json.loads(tracer_(name, "--out", "a", "--json").out)["graphs"]
    ours = graph["files"][0]
    assert [Path(path).suffix for path in graph["files"]] == [".json", ".safetensors"]
    wanted = neuronpedia_import.read_either(Path(name)).graph
    np.testing.assert_array_equal(files.read(Path(ours)).edges, wanted.edges)
    [graph] = json.loads(tracer_(ours, "--frontend", "--json").out)["graphs"]
    [theirs] = graph["files"]
    assert Path(theirs).parent == Path("graphs/frontend")
    assert Path(theirs).name.count("-") == 1
    back = neuronpedia_import.read_either(Path(theirs))
    np.testing.assert_array_equal(back.graph.edges, wanted.edges)
    assert back.graph.nodes.logits == wanted.nodes.logits


def test_supernodes_are_kept_in_theirs(tracer_: Command):
    result = tracer_(downloaded(), "--out", "a", "--frontend", "--json")
    [graph] = json.loads(result.out)["graphs"]
    assert len(graph["files"]) == 3
    assert neuronpedia_import.read_either(Path(graph["files"][2])).supernodes == (
        LabelledIds("Texas", (TEXAS,)),
    )


def test_a_graph_can_be_pruned_further(tracer_: Command):
    whole = prune(random_graph(3), 0.9, 0.99)
    files.write(Path("g.json"), whole)
    result = tracer_("g.json", "--prune", "0.5,0.8", "--out", "a")
    [path] = Path("a").glob("*.json")
    wanted = prune(whole, 0.5, 0.8)
    found = files.read(path)
    np.testing.assert_array_equal(found.edges, wanted.edges)
    assert found.pruning == wanted.pruning
    text = words(result)
    n, left = whole.nodes.n_features, wanted.nodes
    assert f"{n} of 40 active neurons left of those that carry 90 % of the relevance" in text
    assert f"{left.n_sources + len(left.logits)} nodes" in text
    assert "pruned to 0.5 of the nodes' influence, 0.8 of the edges'; before that to 0.9" in text
    assert files.read(Path("g.json")).pruning == whole.pruning
    tracer_("g.json", "--out", "a")
    assert len(list(Path("a").glob("*.json"))) == 2


def test_a_graph_without_features_is_summed_up(tracer_: Command):
    files.write(Path("g.json"), empty_graph())
    assert "0 of 40 active neurons" in words(tracer_("g.json", "--prune", "0.5,0.5"))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--model", "m"),
        ("--features", "neurons"),
        ("--device", "cpu"),
        ("--dtype", "float32"),
        ("--toward", " Austin"),
        ("--against", " Texas"),
        ("--max-features", "5"),
        ("--prompt", "dallas"),
    ],
)
def test_what_a_graph_has_answered_is_refused(tracer_: Command, option: str, value: str):
    result = tracer_(downloaded(), option, value)
    sentence = f"{option} is for a graph that is yet to be taken; dallas.json is one already."
    assert (result.code, result.err.strip()) == (4, sentence)


def wrong_type() -> str:
    return downloaded(nodes=[*dallas()["nodes"], entry("1_2_3", "matryoshka sae")])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: "absent.json", "absent.json: there is no such file."),
        (lambda: Path("x.json").mkdir() or "x.json", "x.json: this is a folder"),
        (lambda: Path("x.json").write_text("{") and "x.json", "x.json: cut short, or no JSON"),
        (lambda: Path("x.json").write_text("[]") and "x.json", "x.json: no attribution graph"),
        (wrong_type, "dallas.json: it has nodes of the types 'matryoshka sae'; only"),
    ],
)
def test_what_cannot_be_read_is_4_and_a_sentence(
    tracer_: Command, make: Callable[[], str], sentence: str
):
    result = tracer_(make(), "--prune", "0.5,0.9")
    assert result.code == 4
    assert sentence in result.err and "Traceback" not in result.err
    assert result.out == ""


def test_a_sentence_that_ends_in_a_files_name_is_a_text(tmp_path: Path):
    for ending in (".json", ".yaml"):
        assert not is_file(f"The sizes of a model are in config{ending}", (ending,))
        assert is_file(f"absent{ending}", (ending,))
        there = tmp_path / f"my graph{ending}"
        there.touch()
        assert is_file(str(there), (ending,))


def test_a_file_too_large_is_not_read(tracer_: Command, monkeypatch: pytest.MonkeyPatch):
    name = downloaded()
    monkeypatch.setattr(neuronpedia_format, "MAX_JSON_BYTES", 100)
    assert "the file is larger than" in tracer_(name).err
    with pytest.raises(UsageError):
        neuronpedia_import.read_either(Path(name))


def test_of_much_only_a_part_is_told(tracer_: Command):
    groups = [[f"s{n}", *(f"1_{m}_1" for m in range(30))] for n in range(25)]
    logits = [entry(f"27_{n}_4", "logit", token_prob=0.01) for n in range(30)]
    nodes = [*dallas()["nodes"], *logits]
    name = downloaded(nodes=nodes, qParams={"supernodes": groups})
    text = words(tracer_(name))
    assert "1_19_1 and 10 more; not in the graph" in text
    assert "and 5 more supernodes" in text and "and 12 more logits" in text
    [graph] = json.loads(tracer_(name, "--json").out)["graphs"]
    assert (len(graph["supernodes"]), len(graph["targets"])) == (25, 32)


def test_running_out_of_memory_is_a_sentence(tracer_: Command, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(graph_files, "kept_influence", fail)
    result = tracer_(downloaded())
    assert (result.code, "memory does not hold the graph's 30" in result.err) == (3, True)


def test_a_terminal_is_only_told_what_it_shows(tracer_: Command):
    bad = "\x1b[31m\u202e"
    name = downloaded(qParams={"supernodes": [[f"a{bad}", f"1_2{bad}"]]})
    result = tracer_(name)
    assert "supernode" in words(result) and not {"\x1b", "\u202e"} & set(result.out)


def test_it_needs_no_torch(tmp_path: Path):
    path = files.write(tmp_path / "g.json", hand_graph())
    program = (
        "import sys; from tracer.cli.app import run_command; "
        f"code = run_command(['graph', {str(path)!r}, '--prune', '0.8,0.98', '--frontend', "
        f"'--out', {str(tmp_path / 'out')!r}]); "
        "sys.exit(code or 10 * bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
