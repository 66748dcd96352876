"""Features by a text or a token, and labels from files."""

import gzip
import html
import json

import numpy as np
import pytest

from tests.command import call
from tests.opened import BASES, basis_of, open_tiny
from tests.tiny_file import write_tiny
from tracer.engine.corpus.passages import find_texts
from tracer.engine.corpus.windows import read_windows
from tracer.engine.feature_card import feature_cards, write_directions
from tracer.engine.feature_index import build, entries, index, promoting, search
from tracer.engine.feature_index.labels import read_labels_file
from tracer.engine.feature_text import activations_of
from tracer.engine.features.open import OpenBasis
from tracer.engine.progress import Silent
from tracer.engine.session import Opened, subject_of
from tracer.errors import UsageError
from tracer.hypothesis.spec import SupernodeSpec
from tracer.hypothesis.yaml_text import parse

TEXT = "the capital of the state containing Dallas is Austin"


@pytest.fixture(scope="module")
def model(tiny):
    return open_tiny(tiny)


@pytest.fixture(scope="module", params=BASES)
def opened(request, model, tmp_path_factory):
    basis = basis_of(request.param, model, tmp_path_factory.mktemp(request.param))
    return Opened(model, OpenBasis(basis, request.param, None, request.param))


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    cities = ("Dallas", "Plano", "Houston", "Oakland", "Miami")
    path.write_text("\n\n".join(TEXT.replace("Dallas", city) for city in cities * 3))
    return path


@pytest.fixture
def indexed(opened, text):
    windows = read_windows(
        find_texts([str(text)]), opened.model.tokenizer, Silent(), length=16, at_most=10**6
    )
    build.make_index(opened, build.IndexRequest(windows, ("text",), 4), Silent())
    return index.find_index(subject_of(opened))


def test_what_promotes_a_token_is_what_the_whole_vocabulary_says(opened):
    model, basis = opened.model, opened.basis
    found = promoting.promoting(opened, " Austin", 5, Silent())
    whole = []
    for layer in range(2):
        ids = [(layer, n) for n in range(basis.n_features(layer))]
        end = model.unembedding
        logits = end.scores(end.ln_final.linear(write_directions(model, basis, ids))).double()
        centred = logits - logits.mean(1, keepdim=True)
        scores = centred / centred.square().mean(1, keepdim=True).sqrt()
        austin = model.tokenizer.encode(" Austin", add_special_tokens=False)[0]
        whole += [(s, *place) for s, place in zip(scores[:, austin].tolist(), ids, strict=True)]
    if basis.is_sparse:
        whole = [each for each in whole if each[0] > 0]
    best = sorted(whole, key=lambda each: -abs(each[0]))[:5]
    assert [(each.layer, each.feature) for each in found] == [(layer, n) for _, layer, n in best]
    assert [e.score for e in found] == pytest.approx([s for s, *_ in best], abs=1e-4)
    assert promoting.promoting(opened, "no single token", 5, Silent()) == []


def test_what_fires_is_rarest_in_the_index(opened, indexed):
    model, basis = opened.model, opened.basis
    ids = model.tokenizer("Tallahassee and Sacramento")["input_ids"]
    found = search.firing(opened, indexed, "Tallahassee and Sacramento", 6, Silent())
    assert len(found) == 6
    assert [e.share for e in found] == sorted(e.share for e in found)
    for each in found:
        [[mine]] = activations_of(model, basis, [(each.layer, each.feature)], [ids])
        sign = 1 if each.activation > 0 else -1
        assert each.activation == pytest.approx(sign * float((sign * mine[1:]).max()), abs=1e-5)
        assert each.pos == 1 + int((sign * mine[1:]).argmax())
        assert each.token == model.tokenizer.decode([ids[each.pos]])
    rarest = found[0].share
    everywhere = []
    for layer in range(2):
        read = indexed.layer(layer)
        each = [(layer, n) for n in range(basis.n_features(layer))]
        x = activations_of(model, basis, each, [ids])[0][:, 1:]
        for sign in range(1 if basis.is_sparse else 2):
            sizes = (x if sign == 0 else -x).amax(1).numpy()
            shares = read.shares_above(np.maximum(sizes, 0), sign)
            everywhere += shares[sizes > 0].tolist()
    assert rarest == min(everywhere)


def test_cards_and_records_tell_of_an_index_and_given_labels_override(opened, indexed):
    [card] = feature_cards(opened, [(1, 3)], None, 2, Silent())
    told = card.indexed
    assert told.n_tokens == indexed.about.n_tokens and not told.positive.is_given
    assert len(told.positive.places) <= 2 and (told.negative is None) == opened.basis.is_sparse
    assert sum(told.above.counts) == pytest.approx(told.positive.share * indexed.about.n_counted)
    entries.write_labels(entries.open_store(), subject_of(opened), {"1_3": "cities"})
    [card] = feature_cards(opened, [(1, 3)], None, 2, Silent())
    assert (card.indexed.positive.label, card.indexed.positive.is_given) == ("cities", True)
    assert index.index_identity(subject_of(opened)) != indexed.identity
    assert index.find_index(subject_of(opened)).identity != indexed.identity


def explanation(layer, index, text):
    return {"modelId": "m", "layer": f"{layer}-some-set", "index": str(index), "description": text}


def test_labels_of_ours_and_of_neuronpedia(tmp_path):
    ours = tmp_path / "labels.json"
    ours.write_text(json.dumps({"0_3": " a\n b ", "1_9": "c" * 500, "1_8": " "}))
    assert read_labels_file(ours, (4, 10)) == {"0_3": "a b", "1_9": "c" * 120}
    entries_ = [explanation(0, 3, "first"), explanation(0, 3, "second"), explanation(1, 9, "x")]
    wanted = {"0_3": "first", "1_9": "x"}
    lines = "\n".join(map(json.dumps, entries_)).encode()
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "batch-0.jsonl.gz").write_bytes(gzip.compress(lines))
    assert read_labels_file(folder, (4, 10)) == wanted
    (tmp_path / "list.json").write_text(json.dumps(entries_))
    assert read_labels_file(tmp_path / "list.json", (4, 10)) == wanted


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("x.json", b"{", "not valid JSON"),
        ("x.json", b"[" * 100_000, "not valid JSON"),
        ("x.json", b"3", "an object of ids and labels is expected"),
        ("x.json", b'{"a": "b"}', "'a': 'b'; an id as in 12_1034"),
        ("x.json", b'{"0_1": 3}', "an id as in 12_1034 and a text"),
        ("x.json", b'{"2_1": "b"}', "2_1: layer 2; the last is 1."),
        ("x.json", b'{"1_10": "b"}', "feature 10; layer 1 has 0 to 9."),
        ("x.json", b"{}", "there is no label in it"),
        ("x.jsonl", b'\n{"layer": "1"}', "x.jsonl:2: no explanation of Neuronpedia's"),
        ("x.jsonl", b"\xff", "x.jsonl:1: not valid JSON"),
        ("x.jsonl", b"x" * (2 << 20), "x.jsonl:1: a line of more than 1 MiB"),
        ("x.jsonl.gz", b"no gzip", "cut short, or not gzip"),
        ("x.jsonl.gz", gzip.compress(b"a\nb" * 99, mtime=0)[:-9], "x.jsonl.gz"),
        ("x.csv", b"", "labels are .json, .jsonl or .jsonl.gz"),
    ],
)
def test_labels_that_are_none_are_a_sentence(tmp_path, name, data, sentence):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=".") as told:
        read_labels_file(tmp_path / name, (4, 10))
    assert sentence in str(told.value)


def test_the_commands(tiny, text, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    on = ("--model", str(tiny), "--device", "cpu")
    before = call(capfd, "features", "1_3", *on, "--json")
    assert "indexed" not in json.loads(before.out)["features"][0]
    without = call(capfd, "features", "search", " Austin", *on)
    assert without.code == 0 and "tracer features index" in without.out
    assert "promote it, most first" in without.out
    alone = call(capfd, "features", "search", " Austin", *on, "--yaml", "austin").out
    assert "say_austin:" in alone and "\n  austin:" not in alone
    nothing = call(capfd, "features", "search", "Dallas Plano", *on, "--yaml", "austin")
    assert (nothing.code, nothing.out) == (4, "")
    assert "nothing was found of which a supernode could be made" in nothing.err
    made = call(capfd, "features", "index", *on, "--text", str(text), "--tokens", "100", "--json")
    assert made.code == 0, made.err
    about = json.loads(made.out)
    assert (about["schema"], about["widths"]) == ("tracer.index/1", [64, 64])
    found = json.loads(call(capfd, "features", "search", " Austin", *on, "--json").out)
    assert len(found["fires"]) == len(found["promotes"]) == 10
    assert all(each["label"] for each in found["fires"])
    made = call(capfd, "features", "search", " Austin", *on, "--yaml", "austin", "--at", "city")
    comments, _, part = made.out.partition("supernodes:")
    declared = {"supernodes": parse("supernodes:" + part).data["supernodes"]}
    austin, say = (declared["supernodes"][name] for name in ("austin", "say_austin"))
    assert austin == {"features": [each["id"] for each in found["fires"]], "at": "city"}
    assert say == {"features": [each["id"] for each in found["promotes"]], "at": "last"}
    assert comments.count("\n") == comments.count("# ") == 3 and "' Austin': austin, 10" in comments
    assert "promote it, most first" in made.err and "supernodes" not in made.err
    SupernodeSpec.model_validate(austin)
    shown = call(capfd, "features", "1_3", *on)
    assert "label, active above 0" in shown.out and "text.txt" in shown.out
    (tmp_path / "labels.json").write_text(json.dumps({"1_3": "mine\x1b[31m"}))
    given = call(capfd, "features", "label", "labels.json", *on)
    assert given.code == 0 and "1 labels kept" in given.out
    shown = call(capfd, "features", "1_3", *on)
    assert "given  mine" in shown.out and "\x1b" not in shown.out
    taken = call(capfd, "graph", TEXT, *on, "--html", "--max-features", "40")
    assert taken.code == 0, taken.err
    [path] = (tmp_path / "graphs").glob("*.json")
    told = json.loads(path.read_text())["features"]
    assert all(each["indexed"]["label"] for each in told.values())
    assert all(len(each["indexed"]["places"]) <= 3 for each in told.values())
    assert "indexes of features" in call(capfd, "cache").out
    assert "entries of indexes removed" in call(capfd, "cache", "clear-indexes").out
    assert "indexes" not in call(capfd, "cache").out


def test_a_run_tells_what_an_index_says_also_where_it_was_measured_before(
    tiny, text, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    graph = {"prompts": ["dallas"], "toward": {"token": " Austin"}, "max_features": 30}
    write_tiny(tmp_path, tiny, graph=graph)
    assert call(capfd, "run", "tiny.yaml").code in (0, 1)
    call(capfd, "features", "index", "--model", str(tiny), "--device", "cpu", "--text", str(text))
    assert call(capfd, "run", "tiny.yaml").code in (0, 1)
    first, second = sorted((tmp_path / "reports" / "tiny").glob("*/run.json"))
    before, after = (
        json.loads(path.read_text())["graphs"]["dallas"]["features"] for path in (first, second)
    )
    assert before.keys() == after.keys()
    assert not any(each["indexed"] for each in before.values())
    assert all(each["indexed"]["places"] for each in after.values())
    page = second.with_name("report.html").read_text()
    label = next(iter(after.values()))["indexed"]["label"]
    assert html.escape(label) in page


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("index", "--text", "absent"), "'absent' is neither a file or folder nor a known text"),
        (("index", "--text", "short.txt"), "give more text"),
        (("index", "--tokens", "0"), "--tokens"),
        (("search", "  "), "there is no text to search for"),
        (("search", "x" * 2001), "the text has 2,001 characters; at most 2,000 are read"),
        (("search", "x", "--yaml", "a b"), "--yaml 'a b': a name is letters, digits"),
        (("search", "x", "--yaml", "a" * 61), "a name is letters, digits"),
        (("search", "x", "--yaml", "a", "--at", "1"), "--at '1': a name is letters"),
        (("search", "x", "--at", "city"), "give --yaml NAME as well"),
        (("search", "x", "--yaml", "a", "--json"), "both print to standard output"),
        (("label", "absent.json"), "absent.json: no such file"),
    ],
)
def test_bad_usage_is_4_and_a_sentence(tiny, tmp_path, monkeypatch, capfd, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.txt").write_text("the capital")
    result = call(capfd, "features", *arguments, "--model", str(tiny), "--device", "cpu")
    assert result.code == 4
    assert sentence.lower() in result.err.lower() and "Traceback" not in result.err
