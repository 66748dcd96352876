"""Hypotheses to save as drafts: a run's, with an attempt or with supernodes made by hand added.

A file may not declare a supernode that nothing uses, so `keeping` adds an ablation of each on its
prompt. A supernode whose features all sit on the last token of one span is declared at that span
and has a place on other prompts too; any other is bound to its tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from tracer.dashboard.intervene.attempt import Attempt, Groups, declare, with_parts
from tracer.dashboard.intervene.round_trip import amended
from tracer.dashboard.intervene.suggested_expectation import SuggestedExpectation
from tracer.hypothesis.clamps import LAST, InterventionSpec
from tracer.hypothesis.expectations.dose import Falls, Rises
from tracer.hypothesis.expectations.fraction import Fraction
from tracer.hypothesis.expectations.top import TopIsNot
from tracer.hypothesis.load import as_declared, from_hypothesis
from tracer.hypothesis.neuronpedia_ids import parse_given, without_position
from tracer.hypothesis.overrides import apply_overrides
from tracer.hypothesis.spec import Controls, Hypothesis, SupernodeSpec
from tracer.hypothesis.yaml_text import to_yaml
from tracer.record.files import free_name
from tracer.record.record import PromptRecord, Record
from tracer.report.run_graphs import span_ending
from tracer.report.screen import clean


def spec_by_hand(prompt: PromptRecord, ids: Sequence[str]) -> SupernodeSpec:
    """The declaration of features `layer_index_position` of a prompt."""
    positions = {parse_given(each).pos for each in ids}
    span = span_ending(prompt, positions.pop()) if len(positions) == 1 else None
    if span is None:
        return SupernodeSpec(features=tuple(ids))
    features = tuple(dict.fromkeys(map(without_position, ids)))
    return SupernodeSpec(features=features, at=span, source=(prompt.name,))


def _places(spec: SupernodeSpec, prompt: PromptRecord) -> Iterator[str]:
    """Ids of a declared supernode on a prompt; none where it has a rule, or no place there."""
    span = prompt.spans.get(spec.at or LAST)
    for each in spec.features or ():
        if each.count("_") == 2:
            yield each
        elif span is not None:
            yield f"{each}_{span[1] - 1}"


def expecting(
    record: Record,
    groups: Groups,
    attempt: Attempt,
    name: str,
    suggested: Sequence[SuggestedExpectation],
) -> Hypothesis:
    """The run's hypothesis with the attempt as the intervention `name`, which expects these.

    Raises:
        HypothesisError: What is wrong with it, as the loader tells of a file.
    """
    added = declare(record, groups, attempt, name).added
    intervention = _expecting(added.interventions[name], suggested)
    n_controls = max(record.hypothesis.controls.random, attempt.n_controls)
    asked = [each.supernode for each in intervention.expect if isinstance(each, Fraction)]
    prompt = record.prompts[attempt.prompt]
    supernodes = {
        each: spec_by_hand(prompt, groups[each])
        for each in dict.fromkeys([*intervention.clamp, *asked])
        if each in groups
    }
    found = with_parts(added, supernodes, {name: intervention})
    found = found.model_copy(update={"controls": Controls(random=n_controls)})
    from_hypothesis(found)
    return found


def _expecting(
    intervention: InterventionSpec, suggested: Sequence[SuggestedExpectation]
) -> InterventionSpec:
    expected = [each.expectation for each in suggested]
    of_doses = tuple(each for each in expected if isinstance(each, Rises | Falls))
    doses = intervention.doses and intervention.doses.model_copy(update={"expect": of_doses})
    rest = tuple(each for each in expected if not isinstance(each, Rises | Falls))
    return intervention.model_copy(update={"expect": rest, "doses": doses})


def snippet(hypothesis: Hypothesis, record: Record) -> str:
    """The new supernodes and interventions alone, to be put into a file by hand."""
    parts = _changes(record.hypothesis, hypothesis)
    parts.pop("controls", None)
    return to_yaml(parts)


def draft_text(hypothesis: Hypothesis, record: Record, prompt: str, name: str) -> str:
    """The run's file with what `hypothesis` adds to it, and a warning on top.

    Raises:
        TracerError: The run's file cannot be written back.
    """
    told = (
        f"{name} was added after it was seen on prompt {prompt} of run {record.id}: it is",
        "evidence only on prompts that nobody looked at. Add some, held out, before it is run.",
    )
    return _commented(told, hypothesis, record)


def _commented(told: Sequence[str], hypothesis: Hypothesis, record: Record) -> str:
    changes = _changes(record.hypothesis, hypothesis)

    def amend(data: dict[str, Any]) -> None:
        apply_overrides(data, record.overrides)
        for section, parts in changes.items():
            data[section] = {**(data.get(section) or {}), **parts}

    text = amended(record.file, record.yaml, amend)
    return "".join(f"# {clean(line)}\n" for line in told) + text


def _changes(old: Hypothesis, new: Hypothesis) -> dict[str, dict[str, Any]]:
    changes: dict[str, dict[str, Any]] = {}
    for section in ("supernodes", "interventions"):
        before, after = getattr(old, section), getattr(new, section)
        changes[section] = {
            name: as_declared(part) for name, part in after.items() if part != before.get(name)
        }
    if new.controls != old.controls:
        changes["controls"] = {"random": new.controls.random}
    return {section: parts for section, parts in changes.items() if parts}


def keeping(record: Record, prompt: str, groups: Groups) -> Hypothesis:
    """The run's hypothesis with these supernodes, each ablated on the prompt.

    Raises:
        HypothesisError: What is wrong with it, as the loader tells of a file.
    """
    hypothesis = record.hypothesis
    first = record.prompts[prompt].baseline.top[0].token
    added = {
        free_name(f"ablate_{name}"[:60], hypothesis.interventions): InterventionSpec(
            prompts=(prompt,), clamp={name: 0.0}, expect=(TopIsNot(top_is_not=first),)
        )
        for name in groups
    }
    by_hand = {name: spec_by_hand(record.prompts[prompt], ids) for name, ids in groups.items()}
    found = with_parts(hypothesis, by_hand, added)
    from_hypothesis(found)
    return found


def kept_text(hypothesis: Hypothesis, record: Record, prompt: str, groups: Groups) -> str:
    """The run's file with these supernodes, and a comment on top that says where they come from.

    Raises:
        TracerError: The run's file cannot be written back.
    """
    told = [
        f"{', '.join(groups)}: grouped by hand in the graph of prompt {prompt} of run {record.id},",
        "so on that prompt they are no evidence. What their ablation shall do is yours to say.",
    ]
    bound = [name for name in groups if hypothesis.supernodes[name].at is None]
    if bound:
        told.append(f"Bound to tokens of that prompt, not to a span: {', '.join(bound)}.")
    return _commented(told, hypothesis, record)


def groups_of(
    hypothesis: Hypothesis, prompt: PromptRecord, there: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """The supernodes of explicit ids that are among the features `there` of the prompt's graph."""
    found = {
        name: tuple(each for each in _places(spec, prompt) if each in there)
        for name, spec in hypothesis.supernodes.items()
    }
    return {name: ids for name, ids in found.items() if ids}
