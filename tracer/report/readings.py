"""Every token that a run read, as rows of a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tracer.record.record import Record
from tracer.record.trials import Reading, TokenReading, Trial

COLUMNS = (
    "intervention",
    "prompt",
    "held_out",
    "dose",
    "token",
    "token_id",
    "logit",
    "probability",
    "rank",
    "clean_logit",
    "clean_probability",
    "clean_rank",
)


def reading_rows(record: Record) -> Iterator[dict[str, Any]]:
    """One row a token, trial and dose, in the record's order.

    The tokens are those that the hypothesis asks about, then the others among the ten most
    probable. What was not read unclamped is None.
    """
    for name, intervention in record.interventions.items():
        for prompt, trial in intervention.trials.items():
            known = record.prompts[prompt]
            clean = {each.id: each for each in _tokens(known.baseline)}
            about = {"intervention": name, "prompt": prompt, "held_out": known.held_out}
            for dose, found in _readings(trial):
                for token in _tokens(found):
                    yield {**about, "dose": dose, **_numbers(token, clean.get(token.id))}


def _readings(trial: Trial) -> Iterator[tuple[float | None, Reading]]:
    """The clamps as declared, then each dose with its factor."""
    yield None, trial.reading
    yield from ((dose.factor, dose.reading) for dose in trial.doses)


def _tokens(found: Reading) -> list[TokenReading]:
    return list({each.id: each for each in (*found.tokens.values(), *found.top)}.values())


def _numbers(token: TokenReading, clean: TokenReading | None) -> dict[str, Any]:
    return {
        "token": token.token,
        "token_id": token.id,
        "logit": token.logit,
        "probability": token.probability,
        "rank": token.rank,
        "clean_logit": clean and clean.logit,
        "clean_probability": clean and clean.probability,
        "clean_rank": clean and clean.rank,
    }
