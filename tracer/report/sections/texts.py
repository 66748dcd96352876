"""What the interventions made the model write, as the report shows it: clamped beside unclamped."""

from __future__ import annotations

from dataclasses import dataclass

from tracer.hypothesis.clamps import Generation
from tracer.hypothesis.implied import all_interventions
from tracer.record.record import Record
from tracer.record.trials import Generated, GeneratedText
from tracer.report.limits import MAX_SAMPLE, MAX_SAMPLES, Cut, cut, each_of, middle_out
from tracer.report.text import plural

_FEWEST_SAMPLES = 4


@dataclass(frozen=True)
class SampleRow:
    """One sample: the two texts that drew the same random numbers."""

    prompt: str
    split: str
    sample: str
    clean: str
    clamped: str
    same: bool


@dataclass(frozen=True)
class TextView:
    """The texts of one intervention."""

    intervention: str
    how: str
    rows: Cut[SampleRow]


def text_views(record: Record) -> tuple[TextView, ...]:
    """Every intervention that generated, in the file's order."""
    specs = all_interventions(record.hypothesis)
    n_views = sum(specs[name].generate is not None for name in record.interventions)
    most = each_of(MAX_SAMPLES, n_views, _FEWEST_SAMPLES)
    views: list[TextView] = []
    for name, intervention in record.interventions.items():
        how = specs[name].generate
        texts = {p: t.generated for p, t in intervention.trials.items() if t.generated is not None}
        if how is not None and texts:
            rows = [row for prompt, each in texts.items() for row in _rows(record, prompt, each)]
            shown = cut(rows, most, "samples", "run.json")
            views.append(TextView(name, _how(record, how), shown))
    return tuple(views)


def _how(record: Record, how: Generation) -> str:
    length = f"{plural(how.tokens, 'token')} at most"
    if how.temperature == 0:
        return f"{length}, the most probable each time."
    seed = record.hypothesis.seed if how.seed is None else how.seed
    return (
        f"{length}, {plural(how.samples, 'sample')} at temperature {how.temperature:g}, seed "
        f"{seed}. A clamped and an unclamped sample draw the same random numbers."
    )


def _rows(record: Record, prompt: str, texts: Generated) -> list[SampleRow]:
    split = "held out" if record.prompts[prompt].held_out else "discovery"
    return [
        SampleRow(
            prompt=prompt,
            split=split,
            sample=f"{number}" if len(texts.clamped) > 1 else "",
            clean=_shown(clean),
            clamped=_shown(clamped),
            same=clean.token_ids == clamped.token_ids,
        )
        for number, (clean, clamped) in enumerate(
            zip(texts.clean, texts.clamped, strict=True), start=1
        )
    ]


def _shown(text: GeneratedText) -> str:
    """The text; an end mark where the model ended it, an ellipsis where the limit cut it."""
    return middle_out(text.text, MAX_SAMPLE) + ("∎" if text.stopped else "…")
