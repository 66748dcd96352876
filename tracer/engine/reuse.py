"""What resolving a hypothesis need not make again: clean passes, and what rules find.

Both are taken from another hypothesis's context, where a variation shares them with it, or from the
measurement cache. A clean pass depends on a prompt's tokens and on the positions whose features
are kept: which prompts go through the model with it changes its last bits at most, and none on the
CPUs that were tried (see `Model.clean`). What a rule finds depends on the rule, and on the clean
passes and declared answers of the prompts it names.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tracer.engine.cache import MeasurementCache, StepForm, remembered
from tracer.engine.clean import CleanRun, Wanted, clean_runs
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.model.model import Model
from tracer.engine.progress import Advance
from tracer.engine.store import StoredEntry
from tracer.engine.supernodes import RuleScores, select
from tracer.engine.whole_prompts import run_together
from tracer.hypothesis.spec import Hypothesis
from tracer.record.record import SupernodeRecord


def unclamped_runs(
    known: Mapping[str, CleanRun],
    cache: MeasurementCache | None,
    model: Model,
    basis: FeatureBasis,
    prompts: Mapping[str, Wanted],
    advance: Advance,
) -> dict[str, CleanRun]:
    """The clean passes of prompts, by name: known ones, from the cache, or made and kept.

    Prompts of one length go through the model together, which takes a third of the time. Keys and
    values are not kept, which are the most of a pass: a row that needs them makes the pass again.
    """
    found = {name: run for name, each in prompts.items() if (run := reused_run(known, each))}
    keys: dict[str, str] = {}
    if cache:
        heads = sorted(basis.d_heads)
        for name in [name for name in prompts if name not in found]:
            ids, positions = prompts[name].prompt.ids, prompts[name].positions
            keys[name] = cache.key("clean", [ids, positions, heads])
            run = cache.read(keys[name], partial(_unpack, model=model, wanted=prompts[name]))
            found |= {name: run} if run else {}
    advance(len(found))
    missing = [name for name in prompts if name not in found]

    def passed(numbers: Sequence[int]) -> list[CleanRun]:
        return clean_runs(model, basis, [prompts[missing[n]] for n in numbers])

    for batch, made in run_together([prompts[name].prompt.ids for name in missing], passed):
        names = [missing[n] for n in batch]
        found.update(zip(names, made, strict=True))
        if cache:
            for name in names:
                cache.store.write(keys[name], *_pack(found[name]))
        advance(len(names))
    return {name: found[name] for name in prompts}


def reused_run(known: Mapping[str, CleanRun], wanted: Wanted) -> CleanRun | None:
    """The clean pass of a prompt, with the tokens that are asked about now; None if not there."""
    prompt, positions = wanted
    run = known.get(prompt.name)
    if run is None or run.prompt.ids != prompt.ids or run.positions != positions:
        return None
    return replace(run, prompt=prompt)


def _pack(run: CleanRun) -> StoredEntry:
    tensors = {"logits": run.logits}
    tensors |= {f"activations.{layer}": x for layer, x in run.activations.items()}
    tensors |= {f"norms.{layer}": x for layer, x in run.output_norms.items()}
    dtypes = {name: str(x.dtype).removeprefix("torch.") for name, x in tensors.items()}
    wide = {name: x.to(torch.promote_types(x.dtype, torch.float32)) for name, x in tensors.items()}
    arrays = {name: x.cpu().numpy() for name, x in wide.items()}
    return StoredEntry(arrays, {"d_keys": run.d_keys, "dtypes": dtypes})


def _unpack(entry: StoredEntry, model: Model, wanted: Wanted) -> CleanRun:
    """The pass an entry holds.

    Raises:
        ValueError: It is no such entry; the other errors of reading foreign data likewise.
    """
    dtypes: dict[str, str] = entry.about["dtypes"]
    tensors = {
        name: torch.tensor(x, dtype=getattr(torch, dtypes[name]))
        for name, x in entry.arrays.items()
    }
    logits = tensors.pop("logits").to(model.device)
    kinds: dict[str, dict[int, Tensor]] = {"activations": {}, "norms": {}}
    for name, x in tensors.items():
        kind, _, layer = name.partition(".")
        kinds[kind][int(layer)] = x
        if len(x) != len(wanted.positions):
            raise ValueError("an entry of other positions")
    ids, d_keys = torch.tensor(wanted.prompt.ids), int(entry.about["d_keys"])
    keys_values = functools.cache(lambda: model.clean(ids[None], []).prefixes[0])
    by_layer = {kind: dict(sorted(found.items())) for kind, found in kinds.items()}
    prompt, positions = wanted
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
