"""The whole engine on a pretended CUDA device gives what it gives on the CPU."""

from __future__ import annotations

import json
import math
from contextlib import chdir, nullcontext
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import tracer
import tracer.engine.model.blocks
from tests.bench import TINY
from tests.dictionaries import write_clt, write_gemma_scope_2, write_sparsify
from tests.golden_run import SECTIONS, comparable
from tests.pretend_device import DEVICE, NAME, pretended
from tests.test_dashboard_attempt import SWAP
from tests.test_heads import HEADS_FILE
from tests.test_measuring_graph_heads import file as heads_in_graphs
from tests.test_patterns import KNOCKOUT
from tests.tiny_file import write_tiny
from tracer.dashboard.intervene.attempt import declare
from tracer.dashboard.intervene.measure import try_out
from tracer.engine.cache import identity
from tracer.engine.corpus.passages import find_texts
from tracer.engine.corpus.windows import read_windows
from tracer.engine.evaluation.explained import explained
from tracer.engine.evaluation.replaced import next_tokens
from tracer.engine.feature_card import feature_cards
from tracer.engine.feature_index.build import IndexRequest, make_index
from tracer.engine.feature_index.entries import open_store
from tracer.engine.feature_index.index import find_index
from tracer.engine.feature_index.promoting import promoting
from tracer.engine.feature_index.search import firing
from tracer.engine.features.formats.compact import write_compact
from tracer.engine.features.formats.registry import read_dictionary
from tracer.engine.graph_request import GraphRequest, WhyRequest
from tracer.engine.graphs import graphs
from tracer.engine.model.weights import choose_device
from tracer.engine.progress import Silent
from tracer.engine.run import measure
from tracer.engine.session import open_both, subject_of
from tracer.engine.specificity import measure_specificity
from tracer.engine.surroundings import environment
from tracer.errors import EngineError, UsageError
from tracer.hypothesis.heads import HeadName
from tracer.hypothesis.load import read
from tracer.hypothesis.spec import ModelSpec
from tracer.record import run_folder
from tracer.record.feature_card import Line
from tracer.record.graph.files import read as read_graph

ATOL = 1e-4
"""Sums in another order; logits of a few rows are made another way than on the CPU."""
DIFF = {"logit_diff": [" Austin", " Sacramento"], "below": 100}
PUT_IN = {"prompts": ["dallas", "plano"], "clamp": {"california": 3}, "expect": [DIFF]}
FROZEN = {
    f"held_{mode}": PUT_IN | {"freeze": mode, "clamp": {"texas": 0}}
    for mode in ("attention", "all")
}
LOOK = {"head": "1.3", "from": "last", "to": "city"}
LOOKS = {
    "knocked_out": {"prompts": ["dallas", "plano"], "attention": [KNOCKOUT]}
    | {"expect": [DIFF, {"attends": LOOK, "above": 0.1}]},
    "like_another": {"prompts": ["dallas"], "expect": [DIFF]}
    | {"attention": [{"heads": ["1.3"], "from": "last", "like": "oakland"}]},
    "other_heads": {"prompts": ["dallas"], "clamp": {"single": 0, "found": 2}, "expect": [DIFF]},
}
GRAPH = SECTIONS["graph"] | {"head_loadings": True, "heads": 6}
FEWER = SECTIONS["interventions"]["swap"] | {"prompts": ["dallas", "plano"]}
MIXED = TINY["interventions"]["swap"] | PUT_IN | {"generate": {"tokens": 3}}
OF_A_DICTIONARY = {
    "graph": GRAPH | {"max_features": 20},
    "prompts": TINY["prompts"] | {"miami": {"city": "Miami"}},
    "circuit": {"both": SECTIONS["circuit"]["both"] | {"prompts": ["dallas"], "random": 3}},
    "interventions": {"put_in": MIXED, **FROZEN},
    "controls": {"random": 3, "rivals": True},
}
BOTH = MIXED | {"clamp": {"california": 3, "texas": 0}}
WITHOUT_A_CIRCUIT = OF_A_DICTIONARY | {"circuit": {}, "prompts": TINY["prompts"]}
FILES: dict[str, dict[str, Any]] = {
    "neurons": SECTIONS
    | {
        "graph": GRAPH,
        "interventions": SECTIONS["interventions"] | {"put_in": PUT_IN, "swap": FEWER},
        "prompts": {k: each for k, each in SECTIONS["prompts"].items() if k != "waco"},
        "controls": SECTIONS["controls"] | {"rivals": True},
        "robustness": None,
    },
    "jumprelu": WITHOUT_A_CIRCUIT | {"features": "./scope", "graph": SECTIONS["graph"]},
    "topk": WITHOUT_A_CIRCUIT
    | {"features": "./topk", "graph": None, "interventions": {"put_in": BOTH}},
    "clt": OF_A_DICTIONARY | {"features": "./clt"},
    "heads": heads_in_graphs()
    | {"supernodes": heads_in_graphs()["supernodes"] | HEADS_FILE["supernodes"]}
    | {"interventions": HEADS_FILE["interventions"] | LOOKS},
}


@pytest.fixture(scope="module")
def root(tiny, tmp_path_factory):
    """A folder with a model and dictionaries, in which files are run."""
    folder = tmp_path_factory.mktemp("devices")
    (folder / "model").symlink_to(tiny)
    write_gemma_scope_2(folder / "scope")
    whole = read_dictionary(write_sparsify(folder / "whole", transcode=False, k=5), "whole", list)
    write_compact(whole, folder / "topk", Silent())
    write_clt(folder / "clt")
    with chdir(folder):
        yield folder


def spec_on(device):
    return ModelSpec(name="./model", device=device)


def run_on(root, device, **declared):
    declared = {"features": "neurons"} | declared | {"model": {"name": "./model", "device": device}}
    path = write_tiny(root, "./model", **declared)
    file, reports = read(str(path)), root / device
    return measure(file, reports=reports, progress=Silent(), keep_going=True, fresh=True)


def assert_alike(found, wanted, where=""):
    """The same words and whole numbers, and numbers alike."""
    if isinstance(wanted, dict):
        assert list(found) == list(wanted), where
        for key in wanted:
            assert_alike(found[key], wanted[key], f"{where}/{key}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), where
        for n, (mine, theirs) in enumerate(zip(found, wanted, strict=True)):
            assert_alike(mine, theirs, f"{where}/{n}")
    elif isinstance(wanted, float) and not math.isnan(wanted):
        assert found == pytest.approx(wanted, abs=ATOL, rel=1e-3), where
    else:
        assert found == wanted or found != found, where


def told(folder):
    """A run's record, graphs and arrays, but for where and when they were measured."""
    record = comparable(json.loads((folder / "run.json").read_text()))
    record["model"] |= {"device": "", "fingerprint": ""}
    record["hypothesis"]["model"]["device"] = ""
    graphs = {path.name: whole(read_graph(path)) for path in folder.glob("graph-*.json")}
    arrays = sorted(run_folder.read_arrays(folder).items())
    about = record | {"yaml": "", "lock_notes": []}
    return about, graphs, {key: each.tolist() for key, each in arrays}


def whole(graph):
    """Nodes and numbers of a graph."""
    nodes = [graph.nodes.features.tolist(), [logit.label for logit in graph.nodes.logits]]
    heads = graph.heads and [graph.heads.heads.tolist(), graph.heads.weights.tolist()]
    return [nodes, heads, graph.edges.tolist(), graph.constants.tolist(), graph.values.tolist()]


@pytest.mark.parametrize("name", FILES)
def test_a_run_is_the_cpu_s(name, root):
    wanted = run_on(root, "cpu", **FILES[name])
    with pretended() as device:
        found = run_on(root, "cuda", **FILES[name])
    assert run_folder.read_record(found).model.device == str(DEVICE)
    for mine, theirs in zip(told(found), told(wanted), strict=True):
        assert_alike(mine, theirs)
    assert not device.unordered


def on_both(root, make):
    """What is made of a model that is open, on the device and on the CPU."""
    wanted = make(open_both(spec_on("cpu"), "neurons", Silent()))
    with pretended():
        found = make(open_both(spec_on("cuda"), "neurons", Silent()))
    return found, wanted


def test_a_try_of_the_dashboard_is_the_cpu_s(root):
    record = run_folder.read_record(run_on(root, "cpu"))
    attempt = declare(record, {}, replace(SWAP, n_controls=3))

    def tried(opened):
        return try_out(opened, record, attempt, Silent())[0].record.interventions

    found, wanted = on_both(root, tried)
    for name, each in wanted.items():
        assert_alike(found[name].model_dump(mode="json"), each.model_dump(mode="json"))


def test_cards_of_features_are_the_cpu_s(root):
    lines = [Line(1, "the capital of Texas is Austin"), Line(2, "Miami")]
    features = [(0, 3), (1, 7)]

    def cards(opened):
        return [asdict(one) for one in feature_cards(opened, features, lines, 4, Silent())]

    for found, wanted in zip(*on_both(root, cards), strict=True):
        assert_alike(found, wanted)


def test_an_index_and_what_it_finds_are_the_cpu_s(root, tmp_path):
    (tmp_path / "text.txt").write_text("the capital of Texas is Austin, in the city of Dallas " * 9)
    text = find_texts([str(tmp_path / "text.txt")])

    def indexed(opened):
        read = read_windows(text, opened.model.tokenizer, Silent(), length=16, at_most=10**6)
        make_index(opened, IndexRequest(read, ("text",), 2), Silent())
        index = find_index(subject_of(opened))
        fires = firing(opened, index, "the state of Florida", 5, Silent())
        promotes = promoting(opened, " Austin", 5, Silent())
        layers = [index.layer(layer).arrays for layer in range(2)]
        open_store().clear()
        values = [each["values"].tolist() for each in layers]
        told = [[each.layer, each.feature, each.activation] for each in fires]
        return [values, told, [[each.layer, each.feature, each.score] for each in promotes]]

    for found, wanted in zip(*on_both(root, indexed), strict=True):
        assert_alike(found, wanted)


def test_why_a_head_looks_there_is_the_cpu_s(root):
    why = WhyRequest(HeadName(1, 3), "last", "1", "mean")

    def reason(opened):
        asked = GraphRequest("the capital of Texas is", spec_on("cpu"), "neurons", why=why)
        [found] = graphs(asked, Silent(), opened)
        told = found.reason
        parts = [*told.query_side, *told.key_side, *told.pairs]
        return [told.score, told.total, told.pattern.tolist(), [list(each) for each in parts]]

    assert_alike(*on_both(root, reason))


def test_specificity_is_the_cpu_s(root):
    session = tracer.Session("./model", device="cpu")
    cities = {"dallas": "Dallas", "oakland": "Oakland"}
    folder = root / "specific"
    folder.mkdir()
    for name, template in (
        ("one", "the capital of {city} is"),
        ("two", "in the city of {city} is the state"),
    ):
        texts = {key: template.replace("{city}", city) for key, city in cities.items()}
        answers = {key: session.ask(text)[0].top[0].token for key, text in texts.items()}
        prompts = {k: {"city": cities[k], "answer": answers[k]} for k in cities}
        swap = {"prompts": list(cities), "clamp": {"texas": 0, "california": 0}, "expect": [DIFF]}
        changes = {"hypothesis": name, "template": template, "prompts": prompts}
        path = write_tiny(folder, "./model", **changes, interventions={"swap": swap})
        path.rename(folder / f"{name}.yaml")

    def measured(device):
        told = (f"model.device={device}",)
        files = [read(str(folder / f"{name}.yaml"), told) for name in ("one", "two")]
        found = measure_specificity(files, [], reports=root / "none", progress=Silent())
        return [each.model_dump(mode="json") for each in (*found.effects, *found.neutral)]

    wanted = measured("cpu")
    with pretended():
        found = measured("cuda")
    assert len(wanted) > 10
    assert_alike(found, wanted)


def test_an_evaluation_is_the_cpu_s(root):
    ids = torch.randint(4, 260, (2, 12), generator=torch.Generator().manual_seed(1))

    def measured(device):
        model, opened = open_both(spec_on(device), "./clt", Silent())
        layers = explained(model, opened.basis, ids, 1)
        sums = next_tokens(model, opened.basis, ids, 1, [(0, 1), (1,)])
        told = [[each.fvu, each.l0, each.n_dead] for each in layers]
        return [*told, sums.ce, *(x.tolist() for x in (sums.kl, sums.ce_change, sums.kept))]

    wanted = measured("cpu")
    with pretended():
        found = measured("cuda")
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-3)


def test_a_model_that_a_program_holds_there_is_measured_there(root):
    def asked(device):
        held = AutoModelForCausalLM.from_pretrained("model", attn_implementation="eager")
        held.requires_grad_(requires_grad=False)
        with pretended() if device == DEVICE else nullcontext():
            tokenizer = AutoTokenizer.from_pretrained("model")
            session = tracer.Session(held.to(device), tokenizer=tokenizer, name="mine")
            clamped = session.clamp("the capital of Texas", {"1_7": {"to": 4.0}}, read=["1_8"])
            graph = session.graph("the capital of Texas", max_features=9, heads=True, max_heads=3)
            run = session.run("tiny.yaml", reports=f"held-{device.type}", fresh=True)
            return [
                clamped.logits.cpu().tolist(),
                clamped.activations["1_8"].tolist(),
                [each.probability for each in session.ask("the capital")[0].top],
                whole(graph),
                run.verdict.verdict,
            ]

    write_tiny(root, "./model")
    assert_alike(asked(DEVICE), asked(torch.device("cpu")))


def test_a_batch_that_the_device_does_not_hold_is_halved_and_the_run_goes_on(root):
    """Nothing larger than the logits of five rows is given; a run has fourteen and more."""
    wanted = run_on(root, "cpu")
    with pretended() as device:
        opened = open_both(spec_on("cuda"), "neurons", Silent())
        logits, device.n_emptied = 4 * opened.model.record.d_vocab, 0
        error = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED")
        device.refuse = lambda n_bytes: error if n_bytes > 5 * logits else None
        file = read(str(write_tiny(root, "./model", model={"name": "./model", "device": "cuda"})))
        reports = root / "scarce"
        found = measure(file, reports=reports, opened=opened, progress=Silent(), fresh=True)
    notes = run_folder.read_record(found).notes
    assert "dallas: memory ran out; batches were cut to 3 rows" in notes
    assert device.n_emptied > 1
    (record, _, arrays), (theirs, _, other_arrays) = told(found), told(wanted)
    assert_alike(record["interventions"], theirs["interventions"])
    assert_alike(arrays, other_arrays)


def test_memory_that_runs_out_elsewhere_is_a_sentence(root):
    with pretended() as device:
        opened = open_both(spec_on("cuda"), "neurons", Silent())
        file = read(str(write_tiny(root, "./model")))
        device.refuse = lambda n_bytes: torch.OutOfMemoryError("CUDA out of memory.")
        with pytest.raises(EngineError, match="memory does not hold an unclamped prompt; try"):
            measure(file, reports=root, opened=opened, progress=Silent(), fresh=True)


def test_products_of_float32_are_float32_there(root):
    """TF32 by environment, by an old setting or by a new one: off before anything is computed."""
    before = torch.backends.cuda.matmul.fp32_precision
    try:
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        with pretended():
            opened = open_both(spec_on("cuda"), "neurons", Silent())
            opened.model.read(torch.tensor([[2, 3]]), [])
            assert torch.backends.cuda.matmul.fp32_precision == "ieee"
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


@pytest.mark.parametrize("part", [7, 1 << 15])
def test_an_unembedding_in_half_precision_is_copied_in_parts(part, tiny_llama, monkeypatch):
    monkeypatch.setattr(tracer.engine.model.blocks, "PART", part)
    spec = ModelSpec(name=str(tiny_llama), device="cpu", dtype="bfloat16")
    end = open_both(spec, "neurons", Silent()).model.unembedding
    W_U = end.W_U.float()
    weights, directions = torch.randn(3, W_U.shape[1]), torch.randn(3, len(W_U))
    torch.testing.assert_close(end.reads(weights), weights @ W_U.T, atol=ATOL, rtol=0)
    torch.testing.assert_close(end.scores(directions), directions @ W_U, atol=ATOL, rtol=0)


def test_a_device_that_is_not_there_is_a_sentence(root):
    with pretended():
        assert choose_device("auto") == choose_device("cuda") == DEVICE
        with pytest.raises(UsageError, match="'cuda:1' is not here: 1 cuda device"):
            run_on(root, "cuda:1")
    with pytest.raises(UsageError, match="'cuda:0' is not here: 0 cuda device"):
        choose_device("cuda:0")


def test_what_is_kept_depends_on_which_gpu_and_opening_gives_memory_back(root):
    with pretended() as device:
        opened = open_both(spec_on("cuda"), "neurons", Silent())
        assert device.n_emptied == 1
        here = environment(1)
        of = identity(opened.model.record, opened.features, here)
    assert NAME in str(of)
