"""From prompts by concept to the text of a hypothesis file: discover, rehearse, write."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from tracer import engine
from tracer.engine.progress import Progress
from tracer.evidence.proposed import (
    ProposedThresholds,
    Rehearsal,
    claims,
    supernodes,
    thresholds,
)
from tracer.hypothesis.concepts import Concepts
from tracer.hypothesis.load import HypothesisFile, as_declared, check
from tracer.hypothesis.spec import ModelSpec
from tracer.hypothesis.yaml_text import to_yaml
from tracer.record.proposal import Discovery, Fate
from tracer.report.proposal import claim_text, proposed_text
from tracer.report.run import Run


class Proposed(NamedTuple):
    """A hypothesis, and what it was made from."""

    file: HypothesisFile
    """Checked; nothing is written yet."""
    discovery: Discovery
    expected: ProposedThresholds
    rehearsal: Rehearsal


def propose(
    asked: Concepts,
    model: ModelSpec,
    features: str,
    *,
    name: str,
    path: str,
    seed: int,
    progress: Progress,
) -> Proposed:
    """Propose a hypothesis.

    Args:
        asked: The prompts, by concept.
        model: The model.
        features: The feature basis.
        name: What the hypothesis is called.
        path: Where its file is going to be.
        seed: Of the split, and the file's own.
        progress: Told of every step.

    Raises:
        HypothesisError: A prompt or an answer that the model cannot read, or concepts that have the
            same answer.
        UsageError: The model does not do what the prompts ask, or two concepts do not have enough
            prompts that it answers.
        ModelUnavailable, EngineError: See `tracer.run`.
    """
    with progress.task("importing PyTorch and TransformerLens"):
        open_both, discover = engine.session.open_both, engine.proposal.propose.discover
    opened = open_both(model, features, progress)
    asked, found = discover(asked, model, features, seed, opened, progress)
    wanted = thresholds(found)
    base = {
        "hypothesis": name,
        "claim": claim_text(found, asked.by),
        "tags": ["proposed"],
        "model": spec if len(spec := as_declared(model)) > 1 else model.name,
        "features": features,
        "seed": seed,
        "template": asked.template,
        "supernodes": supernodes(found),
    }
    tried = base | _prompts(asked, found, ("discovery",)) | claims(found, wanted, "discovery")
    with tempfile.TemporaryDirectory() as reports:
        folder = engine.run.measure(
            check("<rehearsal>", to_yaml(_given(tried))),
            reports=Path(reports),
            opened=opened,
            progress=progress,
        )
        rehearsal = Rehearsal.of(Run.open(folder).verdict)
    held_out = _prompts(asked, found, ("discovery", "held out"))
    declared = _given(base | held_out | claims(found, wanted, "held out", rehearsal))
    text = proposed_text(declared, found, wanted, rehearsal)
    return Proposed(check(path, text), found, wanted, rehearsal)


def _given(sections: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in sections.items() if value is not None}


def _prompts(asked: Concepts, found: Discovery, fates: tuple[Fate, ...]) -> dict[str, Any]:
    """The section of these prompts."""
    return {
        "prompts": {
            each.name: {
                **asked.prompts[each.name],
                **({"held_out": True} if each.fate == "held out" else {}),
            }
            for fate in fates
            for each in found.prompts
            if each.fate == fate
        }
    }
