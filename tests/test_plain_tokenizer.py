"""The tokenizer that needs no transformers says what transformers says of the same file."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product

import pytest

from tracer.engine.model.hf_load import load_tokenizer
from tracer.engine.model.ready import ready_tokenizer
from tracer.engine.model.tokenizer import PlainTokenizer
from tracer.engine.progress import Silent
from tracer.hypothesis.spec import ModelSpec

pytestmark = pytest.mark.model
TEXTS = (
    "Fact: the capital of the state containing Dallas is",
    "",
    " ",
    "  two  spaces\tand a tab\n\nand lines\r\n",
    "<bos>It begins with what is put in front",
    "<eos><unused5><start_of_turn>user",
    "Ünïcödé, e\u0301, ﬁ, ½, 日本語のテキスト, العربية, 🏳️‍🌈",
    "no\u00a0break\u2028line\ufeff\u200b",
    "3.14159 + 0x2A == 1_000_000",
    "def f(x):\n\treturn x  # 'quoted'",
    "▁Dallas ▁▁ is",
    "a" * 3000,
)


@pytest.fixture(scope="module")
def folder():
    return ready_tokenizer(ModelSpec(name="gemma-3-270m"), Silent())


def test_it_says_what_transformers_says(folder):
    ours, theirs = PlainTokenizer(folder), load_tokenizer(folder)
    assert ours.unk_token_id == theirs.unk_token_id
    assert ours.eos_token_id == theirs.eos_token_id
    assert set(ours.all_special_ids) == set(theirs.all_special_ids)
    for text, special in product(TEXTS, (True, False)):
        wanted = theirs(text, add_special_tokens=special, return_offsets_mapping=True)
        found = ours(text, add_special_tokens=special, return_offsets_mapping=True)
        assert found["input_ids"] == wanted["input_ids"], text
        assert found["offset_mapping"] == wanted["offset_mapping"], text
        ids = wanted["input_ids"]
        for some in (ids, *([each] for each in ids[:20])):
            plain = theirs.decode(some, clean_up_tokenization_spaces=False)
            assert ours.decode(some, clean_up_tokenization_spaces=False) == plain


def test_validate_imports_neither_torch_nor_transformers(tmp_path):
    program = (
        "import sys; from tracer.cli.app import run_command\n"
        "assert run_command(['init', 'a.yaml']) == 0\n"
        "assert run_command(['validate', 'a.yaml']) == 0\n"
        "print([m for m in ('torch', 'transformers', 'transformer_lens') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-2:] == ["a.yaml: ok", "[]"], done.stderr
