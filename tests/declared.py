"""A small valid hypothesis file that the tests of the declared side change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tracer.errors import HypothesisError, Mistake
from tracer.hypothesis.load import read

GOOD = """\
hypothesis: two_hop
claim: The capital goes through the state.
template: "The capital of the state containing {city} is"
prompts:
  dallas: {city: Dallas, answer: " Austin"}
  oakland: {city: Oakland, answer: " Sacramento"}
  plano: {city: Plano, answer: " Austin", held_out: true}
supernodes:
  texas:
    select: {on: [dallas], against: [oakland], at: city, top: 40}
  california:
    select: {on: [oakland], against: [dallas], at: city, top: 40}
interventions:
  swap:
    prompts: [dallas, plano]
    clamp: {texas: 0, california: 1}
    expect:
      - {top: " Sacramento"}
      - {logit_diff: [" Sacramento", "{answer}"], above: 1.0}
    doses: {of: california, factors: [0, 1, 2], expect: [{rises: " Sacramento"}]}
"""


def changed(*changes: tuple[str, str]) -> str:
    text = GOOD
    for old, new in changes:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    return text


def mistakes(folder: Path, text: str, *overrides: str) -> list[Mistake]:
    file = folder / "bad.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(HypothesisError) as caught:
        read(str(file), overrides)
    assert str(file) in str(caught.value)
    return caught.value.mistakes


PLANO = '  plano: {city: Plano, answer: " Austin", held_out: true}'
DALLAS = '  dallas: {city: Dallas, answer: " Austin"}'
TEXAS = "    select: {on: [dallas], against: [oakland], at: city, top: 40}"
SWAP = "    clamp: {texas: 0, california: 1}"
TOP = '      - {top: " Sacramento"}'
DIFF = '{logit_diff: [" Sacramento", "{answer}"], above: 1.0}'
DOSES = '    doses: {of: california, factors: [0, 1, 2], expect: [{rises: " Sacramento"}]}'
"""The lines of `GOOD` that tests replace."""


def assert_mistake(folder: Path, text: str, where: str, sentence: str) -> None:
    [found] = [m for m in mistakes(folder, text) if m.where == where]
    assert sentence in found.message
    assert found.line is not None


def accepted(folder: Path, text: str) -> None:
    (folder / "good.yaml").write_text(text, encoding="utf-8")
    read(str(folder / "good.yaml"))
