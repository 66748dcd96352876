"""What a run will cost, with and without its variations, before a model is opened.

The counts need the hypothesis alone; tokens need a tokenizer; bytes and seconds need the sizes in a
model's `config.json`. A clean pass reads a whole prompt; `tracer.engine.cost` says what a
row is. A row's layers below its lowest clamped feature are shared with its batch; which layers
those are is not known before the supernodes are resolved, so the work is an upper bound.

A variation is a run of its own on the model that is open. Its rows are counted as if nothing were
cached, and as if every choice were one: that another size finds the same features shows only when
the rules are followed. Clean passes and supernodes that would come out the same are taken from the
run (`tracer.engine.resolve`), and cost nothing. Nothing here needs torch.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tracer.engine.cost import (
    ModelSize,
    PlannedRows,
    PromptSize,
    circuit_rows,
    intervention_rows,
    n_ranked,
    planned_texts,
)
from tracer.engine.graph_cost import graphs_flops
from tracer.engine.single_passes import NEUTRAL_TOKENS, SinglePasses, single_passes
from tracer.engine.surroundings import is_emulated, takes_gpu
from tracer.hypothesis.clamps import Generation
from tracer.hypothesis.implied import Variation, measurable_variations
from tracer.hypothesis.spec import Hypothesis
from tracer.hypothesis.studies.registry import STUDIES
from tracer.hypothesis.studies.shared import SharedSpec

PROCESS_BYTES = 700 * 2**20
"""Python with torch, transformers and TransformerLens imported, before any weight."""
IMPORT_SECONDS = 7.0
"""Importing the libraries, once a command."""
OPEN_SECONDS = 7.0
"""Opening a model that is already converted, once a hypothesis."""
FLOPS_PER_CORE = 20e9
"""Multiply-adds count as two; fp32, hooks and small matrices included: a little below what the
two-hop hypothesis reached on two quiet cores (26e9)."""
FLOPS_SWEEP = 45e9
"""Of a core on a graph's large matrix products."""
BYTES_PER_SECOND = 8e9
"""Weights are read once a pass, however few its rows and tokens."""
FLOPS_GPU = 10e12
"""A guess: no GPU has been measured; `python -m benchmarks.gpu` tells what one reaches."""
GPU_BYTES_PER_SECOND = 1e12
"""A guess likewise."""
_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}

Number = TypeVar("Number", int, float)
Sizes = Mapping[str, PromptSize]
"""Tokenized prompts, by name."""


@dataclass(frozen=True)
class Plan:
    """The cost of one hypothesis; None stands for what could not be known here."""

    hypothesis: str
    prompts: int
    """Each is one clean pass over all its tokens."""
    backward: int
    """Backward passes, one per prompt a selection rule reads a gradient on."""
    rows: tuple[PlannedRows, ...]
    graphs: int = 0
    """Attribution graphs, one per prompt that the file wants one of."""
    texts: int = 0
    """Texts written, clamped and unclamped, samples counted."""
    rivals: int = 0
    """Passes of crude rivals, one row each."""
    neutral: int = 0
    """Passes on neutral text."""
    batches: int | None = None
    tokens: int | None = None
    """Tokens the rows compute, prefixes reused."""
    tokens_full: int | None = None
    """Tokens of one full pass per row."""
    bytes: int | None = None
    seconds: float | None = None
    on_gpu: bool = False
    """Whether seconds are those of a GPU, whose rates are a guess."""
    is_emulated: bool = False
    """Whether the processor has no instructions for the type of number."""

    @property
    def n_rows(self) -> int:
        """Clamped versions of prompts, over all interventions."""
        return sum(rows.total for rows in self.rows)


def make_plan(
    hypothesis: Hypothesis,
    *,
    sizes: Sizes | None = None,
    model: ModelSize | None = None,
    cores: int = 1,
) -> Plan:
    """Count what a run of the hypothesis will do.

    Args:
        hypothesis: as it would be run.
        sizes: tokenized prompts, by name; without them only the counts that need none.
        model: without it neither batches, bytes nor seconds.
        cores: CPU cores; whether it runs on a GPU says the hypothesis's device, of `auto` what is
            here.
    """
    rows = (*intervention_rows(hypothesis, sizes), *circuit_rows(hypothesis, sizes))
    single = single_passes(hypothesis)
    selected = sum(len(s.select.on) for s in hypothesis.supernodes.values() if s.select)
    plan = Plan(
        hypothesis=hypothesis.hypothesis,
        prompts=len(hypothesis.prompts),
        backward=selected + n_ranked(hypothesis),
        rows=rows,
        graphs=len(hypothesis.graph.prompts) if hypothesis.graph else 0,
        texts=sum(how.samples for _, how in planned_texts(hypothesis)),
        rivals=single.n_rivals,
        neutral=single.neutral,
        on_gpu=takes_gpu(hypothesis.model_spec.device),
        is_emulated=is_emulated(hypothesis.model_spec.dtype, hypothesis.model_spec.device),
    )
    if sizes is None:
        return plan
    lengths = {name: size.n_tokens for name, size in sizes.items()}
    plan = replace(
        plan,
        tokens=sum(r.total * (lengths[r.prompt] - (r.start or 0)) for r in rows),
        tokens_full=sum(r.total * lengths[r.prompt] for r in rows),
    )
    if model is None:
        return plan
    at_once = {name: model.rows_per_batch(n) for name, n in lengths.items()}
    largest = (min(r.total, at_once[r.prompt]) * model.row_bytes(lengths[r.prompt]) for r in rows)
    plan = replace(
        plan,
        batches=sum(math.ceil(n / at_once[prompt]) for (prompt, _), n in _calls(rows).items()),
        bytes=PROCESS_BYTES + _weight_bytes(hypothesis, model) + max(largest, default=0),
    )
    return replace(plan, seconds=_seconds(hypothesis, plan, lengths, model, cores))


def _calls(rows: Iterable[PlannedRows]) -> Counter[tuple[str, int | str]]:
    """How many rows share batches, by prompt and call."""
    found = Counter[tuple[str, int | str]]()
    for each in rows:
        found[each.prompt, each.call] += each.total
    return found


def _weight_bytes(hypothesis: Hypothesis, model: ModelSize) -> int:
    return (model.n_weights + model.n_embedding) * _BYTES[hypothesis.model_spec.dtype]


def _seconds(
    hypothesis: Hypothesis, plan: Plan, lengths: Mapping[str, int], model: ModelSize, cores: int
) -> float:
    """OPEN_SECONDS + FLOP ÷ (cores × FLOPS_PER_CORE) + passes × weights ÷ BYTES_PER_SECOND.

    On a GPU with its own rates. A backward pass costs two forward.
    """
    clean = sum(model.flops(lengths[name]) for name in hypothesis.prompts)
    longest = max(lengths.values())
    work = clean + 3 * plan.backward * model.flops(longest)
    work += sum(r.total * model.flops(lengths[r.prompt] - (r.start or 0)) for r in plan.rows)
    shared = [name for each in hypothesis.studies_of(SharedSpec).values() for name in each.prompts]
    work += sum(model.flops(lengths[name]) for name in shared)
    texts = planned_texts(hypothesis)
    work += sum(_writing(how, lengths[prompt], model) for prompt, how in texts)
    graphs = graphs_flops(hypothesis, lengths, model)
    passes = plan.prompts + len(shared) + 3 * plan.backward + (plan.batches or 0)
    ascending = sorted(texts, key=lambda text: text[1].tokens)
    longest_text = {prompt: how.tokens for prompt, how in ascending}
    passes += sum(1 + tokens for tokens in longest_text.values())
    single = single_passes(hypothesis)
    work += _single(single, plan.rows, lengths, model)
    passes += single.total
    weights = _weight_bytes(hypothesis, model)
    if plan.on_gpu:
        return OPEN_SECONDS + (work + graphs) / FLOPS_GPU + passes * weights / GPU_BYTES_PER_SECOND
    at_work = work / (cores * FLOPS_PER_CORE) + graphs / (cores * FLOPS_SWEEP)
    return OPEN_SECONDS + at_work + passes * weights / BYTES_PER_SECOND


def _single(
    single: SinglePasses,
    rows: tuple[PlannedRows, ...],
    lengths: Mapping[str, int],
    model: ModelSize,
) -> float:
    """FLOP of rivals, of the prompts that they are made of, and of neutral text."""
    starts = {(r.intervention, r.prompt): r.start or 0 for r in rows}
    work = single.neutral * model.flops(NEUTRAL_TOKENS)
    work += sum(model.flops(lengths[prompt]) for prompt in single.sources)
    return work + sum(
        n * model.flops(lengths[place[1]] - starts[place]) for place, n in single.rivals.items()
    )


def _writing(how: Generation, n_tokens: int, model: ModelSize) -> float:
    """The prompt once for each sample, then every token by a pass of its own."""
    return how.samples * (model.flops(n_tokens) + how.tokens * model.flops(1))


def make_whole_plan(
    hypothesis: Hypothesis,
    *,
    sizes: Sizes | None = None,
    varied: Mapping[str, Sizes] | None = None,
    model: ModelSize | None = None,
    cores: int = 1,
) -> Plan:
    """`make_plan` of the file and its variations together.

    Args:
        hypothesis: as it would be run.
        sizes: its prompts; without them only the counts that need none.
        varied: the prompts of variations whose text is another, by the variation's name.
        model: without it neither batches, bytes nor seconds.
        cores: CPU cores.
    """
    plan = make_plan(hypothesis, sizes=sizes, model=model, cores=cores)
    for each in measurable_variations(hypothesis):
        own = (varied or {}).get(each.name, sizes)
        inner = make_plan(each.hypothesis, sizes=own, model=model, cores=cores)
        reused = make_plan(_reused(hypothesis, each), sizes=own, model=model, cores=cores)
        plan = _with(plan, inner, reused, each.name)
    return plan


def _reused(hypothesis: Hypothesis, variation: Variation) -> Hypothesis:
    """What the run has already of a variation: prompts with the same text, rules unchanged."""
    varied = variation.hypothesis
    same_text = variation.axis != "template"
    prompts = {
        name: prompt
        for name, prompt in varied.prompts.items()
        if same_text or prompt.text is not None or prompt.messages is not None
    }
    supernodes = {
        name: node
        for name, node in varied.supernodes.items()
        if variation.axis == "seed"
        or (node == hypothesis.supernodes[name] and set(node.found_on) <= prompts.keys())
    }
    bare: dict[str, Any] = {"interventions": {}, **{kind.SECTION: {} for kind in STUDIES}}
    return varied.model_copy(update={**bare, "prompts": prompts, "supernodes": supernodes})


def _with(plan: Plan, inner: Plan, reused: Plan, name: str) -> Plan:
    """The plan and a variation's, whose rows stand under its name."""
    rows = (replace(each, intervention=f"variation {name}") for each in inner.rows)
    seconds = _sum(inner.seconds, None if reused.seconds is None else -reused.seconds)
    return replace(
        plan,
        prompts=plan.prompts + inner.prompts - reused.prompts,
        backward=plan.backward + inner.backward - reused.backward,
        rows=(*plan.rows, *rows),
        texts=plan.texts + inner.texts,
        rivals=plan.rivals + inner.rivals,
        neutral=plan.neutral + inner.neutral,
        batches=_sum(plan.batches, inner.batches),
        tokens=_sum(plan.tokens, inner.tokens),
        tokens_full=_sum(plan.tokens_full, inner.tokens_full),
        bytes=max(plan.bytes or 0, inner.bytes or 0) or None,
        seconds=_sum(plan.seconds, seconds),
    )


def _sum(one: Number | None, other: Number | None) -> Number | None:
    return None if one is None or other is None else one + other
