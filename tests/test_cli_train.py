"""`tracer train` as it is typed: the plan, the record, and mistakes in one sentence."""

import json
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.command import call
from tests.tiny_models import TEXT


@pytest.fixture
def tracer_(capfd, tmp_path, monkeypatch, tiny):
    """`tracer train` on the tiny model, in a folder of its own with a text."""
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXT * 60)
    return partial(call, capfd, "train", str(tiny), "--device", "cpu")


def test_it_plans_trains_and_does_nothing_twice(tracer_):
    asked = ("--text", "text.txt", "--out", "set", "--tokens", "3000", "--width", "24", "--k", "3")
    planned = tracer_(*asked, "--plan")
    assert planned.code == 0, planned.err
    shown = " ".join(planned.out.split())
    assert "transcoders, 2 layers x 24, TopK 3, skip connection" in shown
    assert "6 of 6 to do, 508 tokens each" in shown
    assert "tokens a second" in shown and not Path("set").exists()
    # W_enc, W_dec, W_skip, b_enc, b_dec of two layers, 4 bytes each
    assert f"{2 * (2 * 24 * 32 + 32 * 32 + 24 + 32) / 1e6:.1f} M" in shown
    done = tracer_(*asked)
    assert done.code == 0, done.err
    record = json.loads(Path("set/training.json").read_text())
    assert record["step"] == record["steps"] == 6 and record["text"]["names"] == ["text.txt"]
    assert "FVU" in done.out and "3,048 tokens in" in done.out
    assert "note: 508 of 3,000 tokens: FVU" in done.err
    before = {path: path.read_bytes() for path in Path("set").rglob("*") if path.is_file()}
    again = tracer_(*asked)
    assert again.code == 0 and "plan" not in again.out
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--kind", "sae"], "--kind 'sae': choose one of 'transcoders', 'cross-layer'."),
        (["--activation", "relu"], "choose one of 'topk', 'jumprelu'."),
        (["--activation", "jumprelu"], "eai-sparsify's transcoders have TopK"),
        (["--layers", "0-x"], "--layers '0-x': write layers and ranges, e.g. 0-8,12."),
        (["--layers", "5-1"], "a range begins with its lower end"),
        (["--kind", "cross-layer", "--layers", "0"], "a cross-layer transcoder has all layers"),
        (["--k", "129"], "--k 129 is over the width, 128"),
        (["--text", "picture.txt"], "picture.txt:1: binary data"),
        (["--text", "latin.txt"], "latin.txt:1: not UTF-8"),
        (["--text", "empty.txt"], "one window takes 127"),
    ],
)
def test_mistakes_are_told(tracer_, arguments, sentence):
    Path("picture.txt").write_bytes(b"\x89PNG\0\0")
    Path("latin.txt").write_bytes("Chicoutimi, Québec".encode("latin-1"))
    Path("empty.txt").write_text(" \n")
    text = () if "--text" in arguments else ("--text", "text.txt")
    result = tracer_(*text, "--out", "set", *arguments)
    assert result.code == 4
    assert sentence in " ".join(result.err.split())
    assert "Traceback" not in result.err and not Path("set").exists()


def test_without_the_extra_it_says_what_to_install(tracer_, monkeypatch):
    monkeypatch.setitem(sys.modules, "sparsify", None)
    result = tracer_("--text", "text.txt", "--out", "set")
    assert result.code == 4
    assert "pip install 'tracer-circuits[train]'" in result.err
