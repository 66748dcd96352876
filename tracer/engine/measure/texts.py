"""What a prompt's interventions make the model write, beside what it writes unclamped."""

from __future__ import annotations

from typing import Any

from tracer.engine.cache import StepForm, cause_of, remembered
from tracer.engine.clamps import GoingOn, assign, going_on, resolve_clamps
from tracer.engine.clean import CleanRun
from tracer.engine.forward import BatchLimit, Row
from tracer.engine.generate import TextRow, WrittenText, write
from tracer.engine.measure.prompts import Measurement, MeasurementContext
from tracer.engine.progress import Advance
from tracer.engine.store import StoredEntry
from tracer.hypothesis.clamps import Generation, InterventionSpec
from tracer.hypothesis.spec import Hypothesis
from tracer.record.trials import Generated, GeneratedText


def n_texts(hypothesis: Hypothesis, prompt: str) -> int:
    """How many texts a prompt's measurement writes."""
    clamped = [spec.generate for _, spec in _writing(hypothesis, prompt) if spec.generate]
    return sum(how.samples for how in (*clamped, *dict.fromkeys(clamped)))


def with_texts(
    bench: MeasurementContext, prompt: str, found: Measurement, limit: BatchLimit, advance: Advance
) -> Measurement:
    """Add the texts to a prompt's trials; unclamped ones are written once for equal settings.

    Sample for sample the clamped and the unclamped text draw the same random numbers, so that they
    differ by the clamps alone.
    """
    writing = _writing(bench.hypothesis, prompt)
    clean = bench.clean[prompt]
    rows: list[TextRow] = []
    clamped: dict[str, slice] = {}
    unclamped: dict[Generation, slice] = {}
    for name, spec in writing:
        how = spec.generate
        assert how is not None
        clamped[name] = _add(rows, _clamped(bench, spec, prompt))
        if how not in unclamped:
            unclamped[how] = _add(
                rows, _samples(Row({}), GoingOn({}, {}), how, bench.hypothesis, prompt)
            )
    written = _written(bench, clean, rows, limit) if rows else []
    texts = [_text(clean, each, bench.model.tokenizer) for each in written]
    trials = dict(found.trials)
    for name, spec in writing:
        assert spec.generate is not None
        generated = Generated(
            clamped=tuple(texts[clamped[name]]), clean=tuple(texts[unclamped[spec.generate]])
        )
        trials[name] = trials[name].model_copy(update={"generated": generated})
    advance(len(rows))
    return found._replace(trials=trials)


def _written(
    bench: MeasurementContext, clean: CleanRun, rows: list[TextRow], limit: BatchLimit
) -> list[WrittenText]:
    """The texts, from the cache where they are there."""
    causes = [
        [
            cause_of(text.row, clean),
            [[*place, value] for place, value in text.onward.values.items()],
            [[*place, value] for place, value in text.onward.added.items()],
            text.n_tokens,
            text.temperature,
            text.draws,
        ]
        for text in rows
    ]
    cache = bench.step_cache
    key = cache.key("texts", [clean.prompt.ids, limit.rows, causes]) if cache else ""
    form = StepForm(
        lambda texts: StoredEntry({}, texts),
        lambda entry: _sound(
            [WrittenText(tuple(ids), bool(end)) for ids, end in entry.about], rows
        ),
    )
    return remembered(
        cache, key, form, limit, lambda: write(bench.model, bench.basis, clean, rows, limit)
    ).result


def _sound(texts: list[WrittenText], rows: list[TextRow]) -> list[WrittenText]:
    """Texts that are those of the rows.

    Raises:
        ValueError: They are not.
    """
    if len(texts) != len(rows) or not all(type(n) is int for text in texts for n in text.ids):
        raise ValueError("an entry of other texts")
    return texts


def _writing(hypothesis: Hypothesis, prompt: str) -> list[tuple[str, InterventionSpec]]:
    """The interventions that generate text on a prompt."""
    specs = hypothesis.interventions.items()
    return [(name, s) for name, s in specs if s.generate is not None and prompt in s.prompts]


def _add(rows: list[TextRow], more: list[TextRow]) -> slice:
    rows += more
    return slice(len(rows) - len(more), len(rows))


def _clamped(bench: MeasurementContext, spec: InterventionSpec, prompt: str) -> list[TextRow]:
    clean = bench.clean[prompt]
    clamps = resolve_clamps(spec, bench.supernodes, bench.clean, prompt)
    row = Row(assign(clamps, clean).values, spec.freeze)
    assert spec.generate is not None
    return _samples(row, going_on(clamps, clean), spec.generate, bench.hypothesis, prompt)


def _samples(
    row: Row,
    onward: GoingOn,
    how: Generation,
    hypothesis: Hypothesis,
    prompt: str,
) -> list[TextRow]:
    seed = hypothesis.seed if how.seed is None else how.seed
    return [
        TextRow(row, onward, how.tokens, how.temperature, f"{seed}/{prompt}/{sample}")
        for sample in range(how.samples)
    ]


def _text(clean: CleanRun, written: WrittenText, tokenizer: Any) -> GeneratedText:
    """Decoded after the prompt's last token, so that a first word keeps its leading space."""

    def decode(ids: list[int]) -> str:
        return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    last = int(clean.ids[-1])
    before, whole = decode([last]), decode([last, *written.ids])
    text = whole.removeprefix(before) if whole.startswith(before) else decode(list(written.ids))
    return GeneratedText(text=text, token_ids=written.ids, stopped=written.stopped)
