"""What one bench may take from another of the same model and basis, to the last bit.

Variations of a hypothesis mostly have its prompts, and some of its supernodes. A clean pass depends
on a prompt's tokens and on the positions whose features are kept; what a rule finds depends on the
rule, and on the clean passes and declared answers of the prompts that it names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from tracer.clean import CleanRun
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.variations import found_on
from tracer.measure import Bench
from tracer.record import SupernodeRecord
from tracer.tokens import TokenizedPrompt


def reused_run(
    known: Bench | None, prompt: TokenizedPrompt, positions: Iterable[int]
) -> CleanRun | None:
    """The clean pass of a prompt, with the tokens that are asked about now; None if not there."""
    run = known.clean.get(prompt.name) if known else None
    if run is None or run.prompt.ids != prompt.ids or set(run.positions) != set(positions):
        return None
    return replace(run, prompt=prompt)


def reused_supernode(
    known: Bench | None, name: str, hypothesis: Hypothesis, clean: Mapping[str, CleanRun]
) -> SupernodeRecord | None:
    """A supernode whose declaration and prompts are those of the other bench; None otherwise."""
    spec = hypothesis.supernodes[name]
    if known is None or known.hypothesis.supernodes.get(name) != spec:
        return None
    same = all(_is_same(known, prompt, hypothesis, clean) for prompt in found_on(spec))
    return known.supernodes[name] if same else None


def _is_same(
    known: Bench, prompt: str, hypothesis: Hypothesis, clean: Mapping[str, CleanRun]
) -> bool:
    before, run = known.clean[prompt], clean[prompt]
    return (
        known.hypothesis.prompts[prompt] == hypothesis.prompts[prompt]
        and before.prompt.ids == run.prompt.ids
        and before.prompt.spans == run.prompt.spans
        and before.positions == run.positions
    )
