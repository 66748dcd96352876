"""Tests of generated text: `says`, `says_not`, `language` and `rhymes_with`.

Words are looked for whatever their case, between word borders; scripts written without spaces have
no borders to ask for. A rhyme is asked of the first line with a word in it, and only once that line
has ended.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from tracer.evidence.case import Case, Wording
from tracer.evidence.measures.language import language_of
from tracer.evidence.measures.measure import MeasureEvidence, Naming
from tracer.evidence.measures.rhyme import CannotTell, rhymes, words_in
from tracer.evidence.wording import counted, number
from tracer.hypothesis.expectations.text import (
    InLanguage,
    RhymesWith,
    Says,
    SaysNot,
    TextExpectation,
)
from tracer.record.trials import Generated, GeneratedText
from tracer.record.verdict import OutcomeName, PromptOutcome

_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR")
_LINE_ENDS = ".!?…。！？"
_N_SHOWN = 60


class _Judged(NamedTuple):
    """One text's outcome; what it was told as, or why it could not be."""

    outcome: OutcomeName
    note: str


def word(expectation: TextExpectation, naming: Naming) -> Wording:
    """How it is written."""
    show = naming.token
    match expectation:
        case Says():
            measure, test = "generated text", f"says {show(expectation.says)}"
        case SaysNot():
            measure, test = "generated text", f"does not say {show(expectation.says_not)}"
        case InLanguage():
            measure, test = "language of the generated text", expectation.language
        case RhymesWith():
            measure = "first generated line"
            test = f"rhymes with {show(expectation.rhymes_with)}"
        case _:
            raise AssertionError(f"no wording for {expectation!r}")
    if expectation.of_samples < 1:
        test += f" in {100 * expectation.of_samples:g} % of the samples"
    return Wording(measure, test)


def judge(expectation: TextExpectation, case: Case) -> PromptOutcome:
    """Judge it on one prompt: enough of its samples must hold.

    Samples that cannot be told count for neither side, as prompts do for an expectation.
    """
    texts = case.trial.generated
    if texts is None or not texts.clamped:
        return case.untested("no text was generated")
    found = [_judge(expectation, text, case) for text in texts.clamped]
    before = [_judge(expectation, text, case) for text in texts.clean]
    n_held = _n(found, "held")
    needed = max(1, math.ceil(expectation.of_samples * len(found) - 1e-9))
    if n_held < needed <= n_held + _n(found, "untested"):
        reasons = dict.fromkeys(one.note for one in found if one.outcome == "untested")
        return case.untested("; ".join(reasons))
    many = len(found) > 1
    return case.tested(
        held=n_held >= needed,
        observed=_counts(found, before) if many else _quotes(texts, found[0], before[0]),
        value=n_held / len(found) if many else None,
    )


def says(text: str, words: str) -> bool:
    """Whether a text contains words as words, whatever their case."""
    wanted = _folded(words).strip()
    before = "" if _is_unspaced(wanted[0]) else r"(?<!\w)"
    after = "" if _is_unspaced(wanted[-1]) else r"(?!\w)"
    pattern = before + r"\s+".join(map(re.escape, wanted.split())) + after
    return re.search(pattern, _folded(text)) is not None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _is_unspaced(char: str) -> bool:
    return unicodedata.name(char, "").startswith(_UNSPACED) or not (char.isalnum() or char == "_")


def _judge(expectation: TextExpectation, text: GeneratedText, case: Case) -> _Judged:
    match expectation:
        case Says():
            return _told(says(text.text, case.token(expectation.says)))
        case SaysNot():
            return _told(not says(text.text, case.token(expectation.says_not)))
        case InLanguage():
            told = language_of(text.text)
            if told.reason is not None:
                return _Judged("untested", told.reason)
            note = f"{told.language} {number(told.likelihood)}"
            return _told(told.language == expectation.language, note)
        case RhymesWith():
            return _judge_rhyme(text, case.token(expectation.rhymes_with))
        case _:
            raise AssertionError(f"no test for {expectation!r}")


def _judge_rhyme(text: GeneratedText, words: str) -> _Judged:
    line = first_line(text)
    if line is None:
        return _Judged("untested", "the first line did not end within the generated tokens")
    try:
        return _told(rhymes(line, words), f"ends with {words_in(line)[-1]!r}")
    except CannotTell as reason:
        return _Judged("untested", str(reason))


def first_line(text: GeneratedText) -> str | None:
    """The first line with a word in it; None where the limit may have cut it off."""
    lines = text.text.splitlines(keepends=True)
    line = next((line for line in lines if words_in(line)), "")
    cut = line == line.rstrip("\r\n") and not line.rstrip().endswith(tuple(_LINE_ENDS))
    return None if cut and not text.stopped else line.strip()


def _told(held: bool, note: str = "") -> _Judged:
    return _Judged("held" if held else "failed", note)


def _n(found: Sequence[_Judged], outcome: OutcomeName) -> int:
    return sum(one.outcome == outcome for one in found)


def _counts(found: Sequence[_Judged], before: Sequence[_Judged]) -> str:
    n_untested = _n(found, "untested")
    untested = f", {n_untested} untested" if n_untested else ""
    return (
        f"{_n(found, 'held')} of {counted(len(found), 'sample')}{untested} "
        f"({_n(before, 'held')} unclamped)"
    )


def _quotes(texts: Generated, found: _Judged, before: _Judged) -> str:
    note = f"{found.note}: " if found.note else ""
    too = " too" if before.outcome == found.outcome == "held" else ""
    return f"{note}{_quote(texts.clamped[0])} (unclamped{too}: {_quote(texts.clean[0])})"


def _quote(text: GeneratedText) -> str:
    shown = text.text if len(text.text) <= _N_SHOWN else text.text[: _N_SHOWN - 1] + "…"
    return repr(shown)


MEASURE = MeasureEvidence((Says, SaysNot, InLanguage, RhymesWith), word, judge)
