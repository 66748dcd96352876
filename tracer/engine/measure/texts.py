"""What a prompt's interventions make the model write, beside what it writes unclamped."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from tracer.engine.batches import BatchLimit, Row
from tracer.engine.cache import StepForm, cause_of, remembered
from tracer.engine.clamps import GoingOn, assign, going_on, resolve_clamps
from tracer.engine.clean import CleanRun
from tracer.engine.cost import planned_texts
from tracer.engine.generate import TextRow, WrittenText, write
from tracer.engine.measure.prompts import Measurement
from tracer.engine.pattern_clamps import resolve_patterns
from tracer.engine.progress import Advance
from tracer.engine.resolve import MeasurementContext
from tracer.engine.store import StoredEntry
from tracer.hypothesis.clamps import Generation
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.vocabulary import decode
from tracer.record.trials import Generated, GeneratedText


def n_texts(hypothesis: Hypothesis, prompt: str, left_out: Container[str] = ()) -> int:
    """How many texts a prompt's measurement writes."""
    return sum(how.samples for name, how in planned_texts(hypothesis, left_out) if name == prompt)


def with_texts(
    context: MeasurementContext,
    prompt: str,
    found: Measurement,
    limit: BatchLimit,
    advance: Advance,
) -> Measurement:
    """Add the texts to a prompt's trials; unclamped ones are written once for equal settings.

    Sample for sample the clamped and the unclamped text draw the same random numbers, so that they
    differ by the clamps alone.
    """
    clean = context.clean[prompt]
    writing = [
        (name, spec, spec.generate)
        for name, spec in context.hypothesis.interventions.items()
        if spec.generate is not None and prompt in spec.prompts and not found.trials[name].problem
    ]
    rows: list[TextRow] = []
    clamped: dict[str, slice] = {}
    unclamped: dict[Generation, slice] = {}
    for name, spec, how in writing:
        clamps = resolve_clamps(spec, context.supernodes, context.clean, prompt)
        patterns = resolve_patterns(context, spec, prompt)
        row = Row(assign(clamps, clean).values, spec.freeze, patterns=patterns)
        onward = going_on(clamps, clean)
        clamped[name] = _add(rows, _samples(row, onward, how, context.hypothesis, prompt))
        if how not in unclamped:
            free = _samples(Row({}), GoingOn({}, {}), how, context.hypothesis, prompt)
            unclamped[how] = _add(rows, free)
    written = _written(context, clean, rows, limit) if rows else []
    texts = [_text(clean, each, context.model.tokenizer) for each in written]
    trials = dict(found.trials)
    for name, _, how in writing:
        of_clamped, of_clean = tuple(texts[clamped[name]]), tuple(texts[unclamped[how]])
        generated = Generated(clamped=of_clamped, clean=of_clean)
        trials[name] = trials[name].model_copy(update={"generated": generated})
    advance(len(rows))
    return found._replace(trials=trials)


def _written(
    context: MeasurementContext, clean: CleanRun, rows: list[TextRow], limit: BatchLimit
) -> list[WrittenText]:
    """The texts, from the cache where they are there."""

    def cause() -> list[Any]:
        causes = [_cause_of(text, clean) for text in rows]
        return [clean.prompt.ids, limit.rows, causes]

    def unpack(entry: StoredEntry) -> list[WrittenText]:
        return _sound([WrittenText(tuple(ids), bool(end)) for ids, end in entry.about], rows)

    def make() -> list[WrittenText]:
        return write(context.model, context.basis, clean, rows, limit)

    form = StepForm(lambda texts: StoredEntry({}, texts), unpack)
    return remembered(context.cache, "texts", cause, form, limit, make).result


def _cause_of(text: TextRow, clean: CleanRun) -> list[Any]:
    return [
        cause_of(text.row, clean),
        sorted([*place, value] for place, value in text.onward.values.items()),
        sorted([*place, value] for place, value in text.onward.added.items()),
        text.n_tokens,
        text.temperature,
        text.draws,
    ]


def _sound(texts: list[WrittenText], rows: list[TextRow]) -> list[WrittenText]:
    """Texts that are those of the rows.

    Raises:
        ValueError: They are not.
    """
    if len(texts) != len(rows) or not all(type(n) is int for text in texts for n in text.ids):
        raise ValueError("an entry of other texts")
    return texts


def _add(rows: list[TextRow], more: list[TextRow]) -> slice:
    rows += more
    return slice(len(rows) - len(more), len(rows))


def _samples(
    row: Row, onward: GoingOn, how: Generation, hypothesis: Hypothesis, prompt: str
) -> list[TextRow]:
    seed = hypothesis.seed if how.seed is None else how.seed
    return [
        TextRow(row, onward, how.tokens, how.temperature, f"{seed}/{prompt}/{sample}")
        for sample in range(how.samples)
    ]


def _text(clean: CleanRun, written: WrittenText, tokenizer: Any) -> GeneratedText:
    """Decoded after the prompt's last token, so that a first word keeps its leading space."""
    last = int(clean.ids[-1])
    before, whole = decode([last], tokenizer), decode([last, *written.ids], tokenizer)
    text = (
        whole.removeprefix(before) if whole.startswith(before) else decode(written.ids, tokenizer)
    )
    return GeneratedText(text=text, token_ids=written.ids, stopped=written.stopped)
