"""What a run will cost, counted before anything heavy is run.

The counts need the hypothesis alone; tokens need a tokenizer; bytes and seconds need the sizes in a
model's `config.json`. A clean pass reads a whole prompt. Every clamp, dose and control is a *row*,
which starts at the first position it changes: what stands before comes from the clean pass's keys
and values. A row's layers below its lowest clamped feature are shared with its batch; which layers
those are is not known before the supernodes are resolved, so the work is an upper bound.

What a run costs together with its variations: each a run of its own on the model that is open.

A variation's rows are counted as if nothing were cached, and as if every choice were one: that
another size finds the same features shows only when the rules are followed. Clean passes and
supernodes that would come out the same are taken from the run (`tracer.engine.resolve`), and cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tracer.engine.cost import ModelSize, Tokens, circuit_rows, n_ranked
from tracer.hypothesis.clamps import ClampSpec, Generation, InterventionSpec
from tracer.hypothesis.implied import (
    REPEATED,
    Variation,
    all_interventions,
    found_on,
    measurable_variations,
)
from tracer.hypothesis.neuronpedia import explicit_features
from tracer.hypothesis.spec import Hypothesis, SupernodeSpec

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
GPU_BYTES_PER_SECOND = 1e12
_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class PromptSize:
    """A prompt as the tokenizer sees it."""

    n_tokens: int
    spans: Mapping[str, tuple[int, int]]
    """Token ranges, end excluded."""
    ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class PlannedRows:
    """The rows of one intervention on one prompt."""

    intervention: str
    prompt: str
    clamps: int
    doses: int
    controls: int
    freeze: str
    start: int | None
    """First position that is computed; None without a tokenizer."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.clamps + self.doses + self.controls


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
    batches: int | None = None
    tokens: int | None = None
    """Tokens the rows compute, prefixes reused."""
    tokens_full: int | None = None
    """Tokens of one full pass per row."""
    bytes: int | None = None
    seconds: float | None = None

    @property
    def n_rows(self) -> int:
        """Clamped versions of prompts, over all interventions."""
        return sum(rows.total for rows in self.rows)


def make_plan(
    hypothesis: Hypothesis,
    *,
    sizes: Mapping[str, PromptSize] | None = None,
    model: ModelSize | None = None,
    cores: int = 1,
) -> Plan:
    """Count what a run of the hypothesis will do.

    Args:
        hypothesis: as it would be run.
        sizes: tokenized prompts, by name; without them only the counts that need none.
        model: without it neither batches, bytes nor seconds.
        cores: CPU cores; a CUDA device is taken from the hypothesis.
    """
    rows = (*_rows(hypothesis, sizes), *_circuit_rows(hypothesis, sizes))
    plan = Plan(
        hypothesis=hypothesis.hypothesis,
        prompts=len(hypothesis.prompts),
        backward=sum(len(s.select.on) for s in hypothesis.supernodes.values() if s.select)
        + n_ranked(hypothesis),
        rows=rows,
        graphs=len(_graphed(hypothesis)),
        texts=sum(how.samples for _, how in _texts(hypothesis)),
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
    plan = replace(
        plan,
        batches=sum(len(_batches(each, lengths[each.prompt], model)) for each in rows),
        bytes=_peak_bytes(hypothesis, rows, lengths, model),
    )
    return replace(plan, seconds=_seconds(hypothesis, plan, lengths, model, cores))


def _rows(hypothesis: Hypothesis, sizes: Mapping[str, PromptSize] | None) -> Iterable[PlannedRows]:
    for name, spec in all_interventions(hypothesis).items():
        for prompt in spec.prompts:
            yield PlannedRows(
                intervention=name,
                prompt=prompt,
                clamps=1,
                doses=len(spec.doses.factors) if spec.doses else 0,
                controls=hypothesis.n_controls(spec),
                freeze=spec.freeze,
                start=_start(spec, hypothesis, sizes[prompt]) if sizes else None,
            )


def _circuit_rows(
    hypothesis: Hypothesis, sizes: Mapping[str, PromptSize] | None
) -> Iterable[PlannedRows]:
    tokens = {n: Tokens(s.ids, s.spans) for n, s in sizes.items()} if sizes else None
    for name, spec in hypothesis.circuit.items():
        for found in circuit_rows(spec, hypothesis, tokens):
            yield PlannedRows(
                intervention=f"circuit {name}",
                prompt=found.prompt,
                clamps=found.scores,
                doses=found.curve,
                controls=found.controls,
                freeze="none",
                start=found.start,
            )


def _start(spec: InterventionSpec, hypothesis: Hypothesis, size: PromptSize) -> int:
    """The first position that any clamp of the intervention writes to."""
    return min(
        _first_position(hypothesis.supernodes[name], clamp, size)
        for name, clamp in spec.clamp.items()
    )


def _first_position(supernode: SupernodeSpec, clamp: float | ClampSpec, size: PromptSize) -> int:
    select = supernode.select
    at = clamp.at if isinstance(clamp, ClampSpec) and clamp.at else None
    at = at or (select.at if select else supernode.at) or "last"
    start, end = size.spans.get(at, (size.n_tokens - 1, size.n_tokens))
    first = end - 1 if select is None or select.tokens == "last" else start
    absolute = [f.split("_")[2] for f in explicit_features(supernode) or () if f.count("_") == 2]
    return min([int(position) for position in absolute if position.isdigit()] or [first])


def _batches(rows: PlannedRows, n_tokens: int, model: ModelSize) -> list[int]:
    """Sizes of the batches of one intervention on one prompt, which shares none with others."""
    size = model.rows_per_batch(n_tokens)
    full, rest = divmod(rows.total, size)
    return [size] * full + [rest] * (rest > 0)


def _peak_bytes(
    hypothesis: Hypothesis,
    rows: Iterable[PlannedRows],
    lengths: Mapping[str, int],
    model: ModelSize,
) -> int:
    """Libraries + weights in the run's dtype + the largest batch of rows."""
    weights = (model.n_weights + model.n_embedding) * _BYTES[hypothesis.model_spec.dtype]
    largest = max(
        (
            max(_batches(each, lengths[each.prompt], model), default=0)
            * model.row_bytes(lengths[each.prompt])
            for each in rows
        ),
        default=0,
    )
    return PROCESS_BYTES + weights + largest


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
    shared = [name for each in hypothesis.shared.values() for name in each.prompts]
    work += sum(model.flops(lengths[name]) for name in shared)
    work += sum(_writing(how, lengths[prompt], model) for prompt, how in _texts(hypothesis))
    graphs = sum(_graph(hypothesis, lengths[name], model) for name in _graphed(hypothesis))
    passes = plan.prompts + len(shared) + 3 * plan.backward + (plan.batches or 0)
    longest_text = {prompt: how.tokens for prompt, how in sorted(_texts(hypothesis), key=_tokens)}
    passes += sum(1 + tokens for tokens in longest_text.values())
    weights = (model.n_weights + model.n_embedding) * _BYTES[hypothesis.model_spec.dtype]
    if hypothesis.model_spec.device.startswith("cuda"):
        return OPEN_SECONDS + (work + graphs) / FLOPS_GPU + passes * weights / GPU_BYTES_PER_SECOND
    at_work = work / (cores * FLOPS_PER_CORE) + graphs / (cores * FLOPS_SWEEP)
    return OPEN_SECONDS + at_work + passes * weights / BYTES_PER_SECOND


def _texts(hypothesis: Hypothesis) -> list[tuple[str, Generation]]:
    """Settings by prompt: those of every intervention, and once more for the unclamped texts."""
    clamped = [
        (prompt, spec.generate)
        for spec in hypothesis.interventions.values()
        for prompt in spec.prompts
        if spec.generate is not None
    ]
    return [*clamped, *dict.fromkeys(clamped)]


def _tokens(text: tuple[str, Generation]) -> int:
    return text[1].tokens


def _writing(how: Generation, n_tokens: int, model: ModelSize) -> float:
    """The prompt once for each sample, then every token by a pass of its own."""
    return how.samples * (model.flops(n_tokens) + how.tokens * model.flops(1))


def _graphed(hypothesis: Hypothesis) -> tuple[str, ...]:
    return hypothesis.graph.prompts if hypothesis.graph else ()


def _graph(hypothesis: Hypothesis, n_tokens: int, model: ModelSize) -> float:
    """An attribution graph and the ablations that check it, three freeze modes each.

    A kept feature is carried through a quarter of the layers, at half of the positions.
    """
    spec = hypothesis.graph
    assert spec is not None
    maps = 2.0 * model.d_model * model.d_head * (model.n_heads + model.n_kv_heads)
    sweep = spec.max_features * model.n_layers / 4 * n_tokens / 2 * maps
    ablated = spec.check + len(hypothesis.supernodes)
    return sweep + 3 * (1 + ablated) * model.flops(n_tokens)


Number = TypeVar("Number", int, float)
Sizes = Mapping[str, PromptSize]
"""Tokenized prompts, by name."""


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
        or (node == hypothesis.supernodes[name] and set(found_on(node)) <= prompts.keys())
    }
    bare: dict[str, Any] = {section: {} for section in REPEATED}
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
        batches=_sum(plan.batches, inner.batches),
        tokens=_sum(plan.tokens, inner.tokens),
        tokens_full=_sum(plan.tokens_full, inner.tokens_full),
        bytes=max(plan.bytes or 0, inner.bytes or 0) or None,
        seconds=_sum(plan.seconds, seconds),
    )


def _sum(one: Number | None, other: Number | None) -> Number | None:
    return None if one is None or other is None else one + other
