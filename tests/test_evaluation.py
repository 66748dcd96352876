"""Evaluations of dictionaries: every number by hand, with Hugging Face's model and plain hooks."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.command import call
from tests.dictionaries import (
    CONFIG,
    N_LAYERS,
    clt_decoder,
    skip,
    threshold,
    transcoder,
    write_clt,
    write_transcoders,
)
from tests.graphs import hand_graph
from tests.opened import attributed_of, open_tiny
from tests.records import make_record
from tracer.engine.evaluation import reconstruction
from tracer.engine.evaluation.explained import added, explained
from tracer.engine.evaluation.replaced import next_tokens
from tracer.engine.evaluation.trained_on import trained_on, training_warnings
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.features.open import open_basis
from tracer.engine.progress import Silent
from tracer.record.evaluation import (
    BasisEvaluation,
    EvaluatedText,
    Evaluation,
    GraphEvaluation,
    LayerEvaluation,
    MlpsReplaced,
    TrainedOn,
)
from tracer.record.graph.graph import Scores
from tracer.record.graph.influence import scores
from tracer.record.training import TrainingRecord, TrainingSettings, TrainingText
from tracer.report.evaluation import render_evaluation
from tracer.report.layer_plot import layer_plot

ATOL = 2e-5
"""Float32 sums in two orders."""
SCALE = 0.05
"""So that a random dictionary does not drown the model."""
TEXT = "the capital of the state containing Dallas is Austin . Texas California city state of "


def bias(layer):
    """Five features are never on."""
    return transcoder(layer)["b_enc"].index_fill(0, torch.arange(5), -1e4)


def small(layer):
    return SCALE * transcoder(layer)["W_dec"]


TRANSCODERS = {"activation_function.threshold": threshold, "W_skip": skip}
TRANSCODERS |= {"b_enc": bias, "W_dec": small}


@pytest.fixture(scope="module")
def opened(tiny):
    return open_tiny(tiny)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A per-layer set with skips and dead features, and a cross-layer one."""
    home = tmp_path_factory.mktemp("dictionaries")
    return {
        "transcoders": write_transcoders(home / "transcoders", more=TRANSCODERS),
        "clt": write_clt(home / "clt"),
    }


@pytest.fixture(scope="module")
def ids(opened):
    """Two windows that begin with `<bos>`."""
    words = torch.randint(4, 260, (2, 24), generator=torch.Generator().manual_seed(3))
    words[:, 0] = opened.tokenizer.bos_token_id
    return words


def by_hand(kind, layer, inputs):
    """Activations of a layer, and the output they make of the layers' inputs, sum by sum."""

    def active(n):
        weights = transcoder(n)
        b_enc = bias(n) if kind == "transcoders" else weights["b_enc"]
        pre = inputs[n] @ weights["W_enc"].T + b_enc
        return torch.where(pre > threshold(n), pre, 0.0)

    made = transcoder(layer)["b_dec"]
    if kind == "transcoders":
        made = made + active(layer) @ small(layer) + inputs[layer] @ skip(layer).T
    else:
        made = made + inputs[layer] @ skip(layer).T
        for n in range(layer + 1):
            made = made + active(n) @ clt_decoder(n, N_LAYERS - n)[:, layer - n]
    return active(layer), made


def run_by_hand(tiny, kind, ids, layers):
    """Logits, and each layer's (input, output), with the MLPs of some layers replaced after <bos>.

    The dictionaries read the MLP's input and write where its post-norm has been passed.
    """
    model = AutoModelForCausalLM.from_pretrained(tiny)
    inputs, outputs = {}, {}

    def read(layer):
        return lambda module, args: inputs.__setitem__(layer, args[0])

    def write(layer):
        def hook(module, args, output):
            outputs[layer] = output
            if layer not in layers:
                return None
            made = by_hand(kind, layer, inputs)[1]
            return torch.cat([output[:, :1], made[:, 1:]], 1)

        return hook

    for layer, block in enumerate(model.model.layers):
        block.mlp.register_forward_pre_hook(read(layer))
        block.post_feedforward_layernorm.register_forward_hook(write(layer))
    with torch.no_grad():
        return SimpleNamespace(logits=model(ids).logits, inputs=inputs, outputs=outputs)


@pytest.mark.parametrize("kind", ["transcoders", "clt"])
def test_variance_active_and_dead_features_are_those_of_sums_by_hand(
    kind, tiny, opened, folders, ids, monkeypatch
):
    basis = open_basis(str(folders[kind]), opened, Silent()).basis
    plain = run_by_hand(tiny, kind, ids, ())
    monkeypatch.setattr(reconstruction, "CELLS", 24 * 5)  # five tokens at a time
    monkeypatch.setattr(reconstruction, "_CHUNK", 7)
    whole = explained(opened, basis, ids, 1)
    halves = added([explained(opened, basis, each, 1) for each in ids.split(1)])
    for layer in range(N_LAYERS):
        active, made = by_hand(kind, layer, plain.inputs)
        y, active = plain.outputs[layer][:, 1:].flatten(0, 1), active[:, 1:].flatten(0, 1)
        error = (y - made[:, 1:].flatten(0, 1)).square().sum()
        fvu = float(error / (y - y.mean(0)).square().sum())
        for found in (whole[layer], halves[layer]):
            assert found.fvu == pytest.approx(fvu, rel=1e-5)
            assert found.l0 == pytest.approx(float((active != 0).sum(1).float().mean()))
            assert found.n_dead == int((active == 0).all(0).sum())
            assert found.n == 2 * 23
    if kind == "transcoders":
        assert whole[0].n_dead >= 5


@pytest.mark.parametrize("kind", ["transcoders", "clt"])
def test_next_tokens_are_those_of_the_model_with_plain_hooks(kind, tiny, opened, folders, ids):
    basis = open_basis(str(folders[kind]), opened, Silent()).basis
    variants = [(0, 1), (0,), (1,), ()]
    found = next_tokens(opened, basis, ids, 1, variants)
    clean = run_by_hand(tiny, kind, ids, ()).logits[:, 1:-1].double().log_softmax(-1)
    following = ids[:, 2:, None]
    assert found.n == following.numel()
    ce = -clean.gather(-1, following).sum()
    assert found.ce == pytest.approx(float(ce), rel=1e-5)
    for n, layers in enumerate(variants):
        after = run_by_hand(tiny, kind, ids, layers).logits[:, 1:-1].double().log_softmax(-1)
        kl = torch.nn.functional.kl_div(after, clean, log_target=True, reduction="sum")
        assert float(found.kl[n]) == pytest.approx(float(kl), abs=ATOL * found.n)
        change = -after.gather(-1, following).sum() - ce
        assert float(found.ce_change[n]) == pytest.approx(float(change), abs=ATOL * found.n)
        kept = (after.argmax(-1) == clean.argmax(-1)).sum()
        assert float(found.kept[n]) == float(kept)
    assert float(found.kl[0]) > 0.01 * found.n  # else nothing was replaced


def test_neurons_explain_everything_and_change_nothing(each_model):
    basis = NeuronBasis(each_model)
    ids = torch.tensor([each_model.tokenizer(TEXT)["input_ids"]])
    for layer, found in enumerate(explained(each_model, basis, ids, 1)):
        assert found.fvu < 1e-10 and found.n_dead < basis.n_features(layer) / 4
    found = next_tokens(each_model, basis, ids, 1, [range(each_model.n_layers)])
    assert float(found.kl[0]) < 1e-4 and float(found.kept[0]) == found.n


def test_a_basis_that_is_nowhere_on_leaves_its_bias(opened, tmp_path, ids):
    off = {"b_enc": lambda layer: torch.full((24,), -1e4)}
    folder = write_transcoders(tmp_path / "off", config=CONFIG, more=off)
    basis = open_basis(str(folder), opened, Silent()).basis
    seen = {}

    def use(layer, output, made):
        seen[layer] = made

    opened.read(ids, reconstruction.reconstructing(basis, (1,), 1, use))
    torch.testing.assert_close(seen[1], transcoder(1)["b_dec"].expand(2 * 23, -1))
    assert all(layer.n_dead == 24 for layer in explained(opened, basis, ids, 1))


@pytest.fixture
def tracer_(capfd, tmp_path, monkeypatch, tiny):
    """`tracer features evaluate` on the tiny model, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXT * 30)

    def run(*arguments):
        model = ("--model", str(tiny), "--device", "cpu", "--text", "text.txt", "--held-out")
        return call(capfd, "features", "evaluate", *arguments, *model)

    return run


def test_the_command_writes_a_table_a_page_and_json(tracer_, folders, opened):
    prompt = "the capital of Texas"
    arguments = ("--prompts", prompt, "--max-features", "20", "--replaced", "100")
    done = tracer_("neurons", str(folders["clt"]), *arguments, "--json", "found.json")
    assert done.code == 0, done.err
    assert max(map(len, done.out.splitlines())) <= 80
    [home] = Path("reports/evaluations").iterdir()
    written = (home / "evaluation.json").read_text()
    assert written == Path("found.json").read_text()
    found = Evaluation.model_validate_json(written)
    assert found.text.is_whole and found.text.sources == ("text.txt",)
    assert found.text.n_replaced == 126  # of one window of 128, all but <bos> and the last
    neurons, clt = found.bases
    assert neurons.fvu == 0 and neurons.replaced.kl == 0 and neurons.replaced.kept == 1
    assert (neurons.l0, neurons.dictionary) == (128, None)
    assert clt.l0 == sum(layer.l0 for layer in clt.layers) < 48
    basis = open_basis(str(folders["clt"]), opened, Silent()).basis
    graph = attributed_of(opened, basis, 20, prompt).graph
    [each] = clt.graphs
    assert each.scores == pytest.approx(scores(graph))
    assert (each.n_kept, each.n_active) == (20, graph.subject.n_active)
    assert "evaluation.html" in done.out and "<main>" in (home / "evaluation.html").read_text()


def test_a_dictionary_of_other_weights_is_told(tracer_, folders, tmp_path, opened):
    folder = write_transcoders(tmp_path / "own")
    own = opened.record.model_copy(update={"fingerprint": "0" * 64, "name": "gemma"})
    text = TrainingText(names=("text.txt",), what=("t",), tokens=9, window=128, sha256="")
    settings = TrainingSettings.model_construct(tokens=9)
    record = TrainingRecord.model_construct(
        model=own, text=text, settings=settings, steps=9, step=3, curve=()
    )
    found = list(training_warnings(record, opened.record, ["text.txt"]))
    assert found[0].startswith("it was trained on other weights: those of gemma, fingerprint 0000")
    assert found[1:] == [
        "its training has not ended: 3 of 9 steps",
        "it was trained on text.txt, which --held-out says is held out",
    ]
    fine = record.model_copy(update={"model": opened.record, "step": 9})
    assert not list(training_warnings(fine, opened.record, ["other.txt"]))
    assert trained_on(fine, opened.record).is_same and not trained_on(record, opened.record).is_same
    (folder / "training.json").write_text("{}")
    done = tracer_("./own", "--tokens", "100")
    assert (done.code, "training.json: not written by tracer" in done.err) == (4, True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nonsense"], "unknown features 'nonsense'"),
        (["neurons", "neurons"], "features 'neurons' are given twice"),
        (["a/b"] * 5, "5 dictionaries; at most 4"),
        (["neurons", "--tokens", "0"], "--tokens"),
        (["neurons", "--text", "absent.txt"], "is neither a file or folder nor a known text"),
        (["neurons", "--text", "short.txt"], "one window takes"),
        (["neurons", "--prompts", "absent.yaml"], "absent.yaml"),
        (["neurons", "--prompts", "x", "--max-features", "0"], "features can be kept, not 0"),
    ],
)
def test_bad_usage_is_4_and_a_sentence(tracer_, arguments, sentence):
    Path("short.txt").write_text("too short")
    if "short.txt" in arguments:
        Path("text.txt").write_text("too")
    done = tracer_(*arguments)
    assert (done.code, sentence in done.err) == (4, True), done.err
    assert "Traceback" not in done.err


def evaluation(name="set", n_layers=2, **changes):
    """Of known numbers."""
    record, _ = make_record()
    layers = tuple(
        LayerEvaluation(
            n_features=10 * (n + 1),
            fvu=None if n else 0.25,
            l0=3.5,
            n_dead=n,
            replaced=MlpsReplaced(kl=0.5, ce_change=-0.001, kept=0.75),
        )
        for n in range(n_layers)
    )
    graph = hand_graph()
    of_graph = GraphEvaluation(
        prompt="<script>1</script>",
        name=None,
        n_active=9,
        n_kept=3,
        relevance_share=0.5,
        scores=scores(graph),
        without_dropped=None,
    )
    basis = BasisEvaluation(
        basis=name,
        dictionary=None,
        trained_on=TrainedOn(
            model="<b>m</b>", fingerprint="f" * 64, is_same=False, tokens=9, text=("t",)
        ),
        layers=layers,
        replaced=MlpsReplaced(kl=1.25, ce_change=0.5, kept=0.5),
        graphs=(of_graph, of_graph.model_copy(update={"scores": Scores(0.0, None)})),
        warnings=("not <i>these</i>",),
    )
    text = EvaluatedText(
        sources=("t.txt",), is_whole=False, sha256="0" * 64, n_windows=1, n_tokens=1234,
        n_replaced=100, ce=2.5,
    )  # fmt: skip
    return Evaluation(
        started="2026-01-02T03:04:05Z",
        model=record.model,
        environment=record.environment,
        text=text,
        bases=(basis,),
        seconds=1.0,
    ).model_copy(update=changes)


def test_a_basis_is_summed_up():
    [basis] = evaluation(n_layers=3).bases
    assert basis.fvu == 0.25  # of the one layer whose outputs vary
    assert basis.l0 == 10.5
    assert basis.dead_share == pytest.approx(3 / 60)
    one = scores(hand_graph())
    assert basis.mean_scores == (pytest.approx(one.replacement / 2), one.completeness)


def test_the_page_escapes_and_is_the_same_twice():
    found = evaluation("<script>set</script>")
    page = render_evaluation(found)
    assert page == render_evaluation(found)
    for hostile in ("<script>set", "<script>1", "<b>t", "<i>these"):
        assert hostile not in page
    for told in ("1,234 tokens of t.txt", "2.500 nats", "1.250", "&lt;i&gt;these", "+0.500"):
        assert told in page
    assert Evaluation.model_validate_json(found.model_dump_json(by_alias=True)) == found


def test_a_line_has_a_point_where_a_layer_has_a_number():
    plot = layer_plot({"a": [0.0, None, 2.0], "b": [1.0, 1.0, 1.0]}, "{:g}".format)
    a, b = plot.lines
    assert [x for x, _ in a.points] == [b.points[0][0], b.points[2][0]]
    low, high = (y for _, y in a.points)
    ticks = {tick.label: tick.at for tick in plot.y_ticks}
    assert (low, high) == (ticks["0"], ticks["2"]) and low > high
    assert b.points[1][1] == pytest.approx((low + high) / 2)
    assert a.title == "a: layer 0 0, layer 2 2"
    assert [tick.label for tick in plot.x_ticks] == ["0", "1", "2"]
    assert len(layer_plot({"a": [0.0] * 64}, str).x_ticks) <= 10
