"""What resolving a hypothesis need not make again: clean passes, and what rules find.

Both are taken from another hypothesis's context, where a variation shares them with it, or from the
measurement cache. A clean pass depends on a prompt's tokens and on the positions whose features are
kept; what a rule finds depends on the rule, and on the clean passes and declared answers of the
prompts it names.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tracer.engine.cache import MeasurementCache, StepForm, remembered
from tracer.engine.clean import CleanRun, clean_run
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.model.model import Model
from tracer.engine.store import StoredEntry
from tracer.engine.supernodes import RuleScores, select
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.tokens import TokenizedPrompt
from tracer.record.record import SupernodeRecord


def reused_run(
    known: Mapping[str, CleanRun], prompt: TokenizedPrompt, positions: Iterable[int]
) -> CleanRun | None:
    """The clean pass of a prompt, with the tokens that are asked about now; None if not there."""
    run = known.get(prompt.name)
    if run is None or run.prompt.ids != prompt.ids or set(run.positions) != set(positions):
        return None
    return replace(run, prompt=prompt)


def kept_run(
    cache: MeasurementCache | None,
    model: Model,
    basis: FeatureBasis,
    prompt: TokenizedPrompt,
    positions: Iterable[int],
) -> CleanRun:
    """The clean pass of a prompt, from the cache or made and kept.

    Its keys and values are not kept, which are the most of it: a row that needs them makes the pass
    again.
    """
    at = sorted(set(positions))
    form = StepForm(_pack, partial(_unpack, model=model, prompt=prompt, positions=tuple(at)))

    def cause() -> list[Any]:
        return [prompt.ids, at, sorted(basis.d_heads)]

    return remembered(
        cache, "clean", cause, form, None, lambda: clean_run(model, basis, prompt, at)
    ).result


def _pack(run: CleanRun) -> StoredEntry:
    tensors = {"logits": run.logits}
    tensors |= {f"activations.{layer}": x for layer, x in run.activations.items()}
    tensors |= {f"norms.{layer}": x for layer, x in run.output_norms.items()}
    dtypes = {name: str(x.dtype).removeprefix("torch.") for name, x in tensors.items()}
    wide = {name: x.to(torch.promote_types(x.dtype, torch.float32)) for name, x in tensors.items()}
    arrays = {name: x.cpu().numpy() for name, x in wide.items()}
    return StoredEntry(arrays, {"d_keys": run.d_keys, "dtypes": dtypes})


def _unpack(
    entry: StoredEntry, model: Model, prompt: TokenizedPrompt, positions: tuple[int, ...]
) -> CleanRun:
    """The pass an entry holds.

    Raises:
        ValueError: It is no such entry; the other errors of reading foreign data likewise.
    """
    dtypes: dict[str, str] = entry.about["dtypes"]
    tensors = {
        name: torch.tensor(x, dtype=getattr(torch, dtypes[name]), device=model.device)
        for name, x in entry.arrays.items()
    }
    logits = tensors.pop("logits")
    kinds: dict[str, dict[int, Tensor]] = {"activations": {}, "norms": {}}
    for name, x in tensors.items():
        kind, _, layer = name.partition(".")
        kinds[kind][int(layer)] = x
        if len(x) != len(positions):
            raise ValueError("an entry of other positions")
    ids, d_keys = torch.tensor(prompt.ids), int(entry.about["d_keys"])
    keys_values = functools.cache(lambda: model.clean(ids, []).prefix)
    by_layer = {kind: dict(sorted(found.items())) for kind, found in kinds.items()}
    return CleanRun(prompt, ids, logits, keys_values, d_keys, positions, *by_layer.values())


def rule_cause(name: str, hypothesis: Hypothesis, clean: Mapping[str, CleanRun]) -> list[Any]:
    """All that a supernode's members depend on, besides the model and the basis; a JSON value."""
    spec = hypothesis.supernodes[name]
    prompts = [
        (
            hypothesis.prompts[prompt].model_dump(mode="json"),
            clean[prompt].prompt.ids,
            sorted(clean[prompt].prompt.spans.items()),
            clean[prompt].positions,
        )
        for prompt in spec.found_on
    ]
    return [name, spec.model_dump(mode="json"), prompts]


def kept_supernode(
    cache: MeasurementCache | None,
    name: str,
    hypothesis: Hypothesis,
    clean: Mapping[str, CleanRun],
    scores: RuleScores,
) -> SupernodeRecord:
    """What a supernode's rule finds, from the cache or found and kept."""

    def cause() -> list[Any]:
        return rule_cause(name, hypothesis, clean)

    spec = hypothesis.supernodes[name]
    return remembered(cache, "rule", cause, _RULE, None, lambda: select(name, spec, scores)).result


_RULE = StepForm[SupernodeRecord](
    lambda found: StoredEntry({}, found.model_dump(mode="json")),
    lambda entry: SupernodeRecord.model_validate(entry.about),
)
