"""Supernodes made by hand as a draft hypothesis, so that they outlast the session, and back again.

A file has no supernode that nobody uses, so each gets an ablation on the prompt it was made on, of
which it is expected that the first token comes first no more: a beginning for its author to change.
"""

from __future__ import annotations

from collections.abc import Collection

from tracer.attempt.declare import Groups
from tracer.attempt.made import made_spec, places_of
from tracer.free_name import free_name
from tracer.hypothesis.expectations import TopIsNot
from tracer.hypothesis.interventions import InterventionSpec
from tracer.hypothesis.load import dump, from_hypothesis
from tracer.hypothesis.spec import Hypothesis
from tracer.record import PromptRecord, Record
from tracer.terminal import clean


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
    made = {name: made_spec(record.prompts[prompt], ids) for name, ids in groups.items()}
    found = hypothesis.model_copy(
        update={
            "supernodes": {**hypothesis.supernodes, **made},
            "interventions": {**hypothesis.interventions, **added},
        }
    )
    from_hypothesis(found)
    return found


def kept_text(hypothesis: Hypothesis, record: Record, prompt: str, groups: Groups) -> str:
    """The whole hypothesis as a file, which says where its supernodes come from."""
    told = [
        f"{', '.join(groups)}: grouped by hand in the graph of prompt {prompt} of run {record.id},",
        "so on that prompt they are no evidence. What their ablation shall do is yours to say.",
    ]
    bound = [name for name in groups if hypothesis.supernodes[name].at is None]
    if bound:
        told.append(f"Bound to tokens of that prompt, not to a span: {', '.join(bound)}.")
    return "".join(f"# {clean(line)}\n" for line in told) + dump(hypothesis)


def groups_of(
    hypothesis: Hypothesis, prompt: PromptRecord, there: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """The supernodes of explicit ids, as far as a graph of the prompt has these features.

    Args:
        hypothesis: A draft.
        prompt: The graph's.
        there: Ids of the graph's features, `layer_index_position`.
    """
    found = {
        name: tuple(each for each in places_of(spec, prompt) if each in there)
        for name, spec in hypothesis.supernodes.items()
    }
    return {name: ids for name, ids in found.items() if ids}
