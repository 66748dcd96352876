"""From an attempt to a hypothesis: another intervention, of which what was seen is expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracer.attempt.declare import Groups, declare
from tracer.attempt.made import made_spec
from tracer.attempt.seen import Sight
from tracer.attempt.wish import Attempt
from tracer.hypothesis.expectations import Falls, Fraction, Rises
from tracer.hypothesis.interventions import InterventionSpec
from tracer.hypothesis.load import dump, from_hypothesis
from tracer.hypothesis.source import to_yaml
from tracer.hypothesis.spec import Controls, Hypothesis, SupernodeSpec
from tracer.record import PromptRecord, Record
from tracer.terminal import clean


def expecting(
    record: Record, groups: Groups, attempt: Attempt, name: str, seen: Sequence[Sight]
) -> Hypothesis:
    """The run's hypothesis with the attempt as another intervention.

    Args:
        record: The run.
        groups: Supernodes made by hand.
        attempt: What was tried.
        name: Of the new intervention.
        seen: What it expects.

    Raises:
        HypothesisError: What is wrong with it, as the loader tells of a file.
    """
    added = declare(record, groups, attempt, name).added
    intervention = _with(added.interventions[name], seen)
    n_controls = max(record.hypothesis.controls.random, attempt.n_controls)
    made = _made(record.prompts[attempt.prompt], groups, intervention)
    found = added.model_copy(
        update={
            "supernodes": {**added.supernodes, **made},
            "interventions": {**added.interventions, name: intervention},
            "controls": Controls(random=n_controls),
        }
    )
    from_hypothesis(found)
    return found


def _made(
    prompt: PromptRecord, groups: Groups, intervention: InterventionSpec
) -> dict[str, SupernodeSpec]:
    """The supernodes made by hand that are clamped, or of which something is expected."""
    asked = [each.supernode for each in intervention.expect if isinstance(each, Fraction)]
    return {
        each: made_spec(prompt, groups[each])
        for each in dict.fromkeys([*intervention.clamp, *asked])
        if each in groups
    }


def _with(intervention: InterventionSpec, seen: Sequence[Sight]) -> InterventionSpec:
    expected = [each.expectation for each in seen]
    of_doses = tuple(each for each in expected if isinstance(each, Rises | Falls))
    doses = intervention.doses and intervention.doses.model_copy(update={"expect": of_doses})
    rest = tuple(each for each in expected if not isinstance(each, Rises | Falls))
    return intervention.model_copy(update={"expect": rest, "doses": doses})


def snippet(hypothesis: Hypothesis, record: Record, name: str) -> str:
    """Only what is new, to be put into a file by hand."""
    added = {
        each: spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        for each, spec in hypothesis.supernodes.items()
        if each not in record.hypothesis.supernodes
    }
    intervention = hypothesis.interventions[name]
    told: Mapping[str, Any] = intervention.model_dump(
        mode="json", by_alias=True, exclude_defaults=True
    )
    parts = {"supernodes": added, "interventions": {name: told}}
    return to_yaml({key: part for key, part in parts.items() if part})


def draft_text(hypothesis: Hypothesis, record: Record, prompt: str, name: str) -> str:
    """The whole hypothesis as a file, with a warning on top."""
    told = (
        f"{name} was added after it was seen on prompt {prompt} of run {record.id}: it is",
        "evidence only on prompts that nobody looked at. Add some, held out, before it is run.",
    )
    return "".join(f"# {clean(line)}\n" for line in told) + dump(hypothesis)
