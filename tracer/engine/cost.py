"""What a run will cost: rows to measure, counted from the hypothesis, and what each row takes.

Every clamp, dose, control and circuit score is a *row*: one changed version of a prompt. Its pass
starts at the first position that it changes, which needs the prompts' tokens; the clean pass's keys
and values stand for what comes before. Operations and bytes follow from the sizes in a model's
`config.json`. The engine cuts its batches by the same rule, `row_bytes` and `rows_per_batch`.
Nothing here needs torch, so that a plan can be made before a model is opened.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracer.engine.model.hf_folder import text_config
from tracer.hypothesis.clamps import LAST, ClampForm, Generation, InterventionSpec, long_form
from tracer.hypothesis.implied import measured_together
from tracer.hypothesis.neuronpedia import explicit_features
from tracer.hypothesis.neuronpedia_ids import parse_given
from tracer.hypothesis.procedure import procedure_sets
from tracer.hypothesis.spec import Hypothesis, SupernodeSpec
from tracer.hypothesis.studies.circuit import SHARES, CircuitSpec
from tracer.hypothesis.tokens import shared_prefix

ROW_BUDGET = 640 * 2**20
"""Bytes the engine lets one batch of rows use: on the model that is installed, a clamp and its 99
controls go through at once."""
MAX_ROWS = 256
Spans = Mapping[str, tuple[int, int]]
"""Token ranges by name, end excluded."""


def row_bytes(n_tokens: int, d_vocab: int, d_keys: int, widest: int) -> int:
    """Bytes of one row: 4·(3·d_vocab + 2·keys_and_values + 8·widest).

    `d_keys` is the length of one token's keys, all layers together, and `widest` that of its
    longest hidden vector.
    """
    keys_and_values = 2 * n_tokens * d_keys
    return 4 * (3 * d_vocab + 2 * keys_and_values + 8 * widest)


def rows_per_batch(bytes_per_row: int, budget: int = ROW_BUDGET) -> int:
    """Rows that fit into a budget of bytes at once; 1 at least."""
    return max(1, min(MAX_ROWS, budget // bytes_per_row))


@dataclass(frozen=True)
class ModelSize:
    """The sizes of a decoder with gated MLPs and grouped attention heads."""

    n_layers: int
    d_model: int
    d_vocab: int
    d_mlp: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    tied: bool

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ModelSize | None:
        """Read a Hugging Face `config.json`; None where it names its sizes otherwise."""
        text = text_config(config)
        try:
            n_heads, d_model = int(text["num_attention_heads"]), int(text["hidden_size"])
            return cls(
                n_layers=int(text["num_hidden_layers"]),
                d_model=d_model,
                d_vocab=int(text["vocab_size"]),
                d_mlp=int(text["intermediate_size"]),
                n_heads=n_heads,
                n_kv_heads=int(text.get("num_key_value_heads") or n_heads),
                d_head=int(text.get("head_dim") or d_model // n_heads),
                tied=bool(text.get("tie_word_embeddings", True)),
            )
        except (KeyError, TypeError, ValueError, ArithmeticError):
            return None

    @property
    def n_attention(self) -> int:
        """Attention weights of one layer: 2·d·h·d_head + 2·d·kv·d_head."""
        return 2 * self.d_model * self.d_head * (self.n_heads + self.n_kv_heads)

    @property
    def n_weights(self) -> int:
        """Weights outside the embeddings: layers × (attention + 3·d·d_mlp)."""
        return self.n_layers * (self.n_attention + 3 * self.d_model * self.d_mlp)

    @property
    def n_embedding(self) -> int:
        """Weights of the embedding, and of the unembedding where it is not the same matrix."""
        return self.d_model * self.d_vocab * (1 if self.tied else 2)

    def flops(self, n_tokens: int) -> float:
        """One pass over n tokens with logits at the last: 2·n·weights + 2·d_model·d_vocab."""
        return 2.0 * n_tokens * self.n_weights + 2.0 * self.d_model * self.d_vocab

    def row_bytes(self, n_tokens: int) -> int:
        """Bytes of one row of a prompt, with neurons as features."""
        d_keys = self.n_kv_heads * self.d_head * self.n_layers
        return row_bytes(n_tokens, self.d_vocab, d_keys, self.d_mlp)

    def rows_per_batch(self, n_tokens: int) -> int:
        """Rows of a prompt that fit into the budget at once."""
        return rows_per_batch(self.row_bytes(n_tokens))


@dataclass(frozen=True)
class PromptSize:
    """A prompt as the tokenizer sees it."""

    n_tokens: int
    spans: Spans
    ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class PlannedRows:
    """The rows of one intervention, or of one circuit, on one prompt."""

    intervention: str
    prompt: str
    clamps: int
    """The intervention, and once more for its direct effect where it is at the last token. Of a
    circuit: F(∅), F(C), F(M∖C), and at most one for each member or group left out."""
    doses: int
    """Of a circuit: the points of its curve."""
    controls: int
    """Of a circuit: random circuits, kept and taken out, and fillers."""
    freeze: str
    start: int | None
    """First position that is computed; None without a tokenizer."""
    call: int | str
    """Rows of one prompt and the same call share batches."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.clamps + self.doses + self.controls


def intervention_rows(
    hypothesis: Hypothesis, sizes: Mapping[str, PromptSize] | None = None
) -> Iterator[PlannedRows]:
    """The rows of every intervention, prompt by prompt."""
    together = measured_together(hypothesis)
    numbered = [(n, *each) for n, some in enumerate(together) for each in some.items()]
    for call, name, spec in numbered:
        doses = len(spec.doses.factors) if spec.doses else 0
        controls = hypothesis.n_controls(spec) + len(procedure_sets(hypothesis, name, spec))
        clamps = 2 if _at_end(spec, hypothesis) else 1
        for prompt in spec.prompts:
            start = _start(spec, hypothesis, sizes[prompt]) if sizes else None
            yield PlannedRows(name, prompt, clamps, doses, controls, spec.freeze, start, call)


def circuit_rows(
    hypothesis: Hypothesis, sizes: Mapping[str, PromptSize] | None = None
) -> Iterator[PlannedRows]:
    """The rows of every circuit on each of its prompts, minus those that cannot be ablated."""
    for name, spec in hypothesis.studies_of(CircuitSpec).items():
        ranked = spec.curve and any(not hypothesis.prompts[p].held_out for p in spec.prompts)
        groups = min(spec.groups, sum(_most(spec, hypothesis, each) for each in spec.supernodes))
        drawn = (3 if groups else 2) * spec.random
        for prompt in spec.prompts:
            start = None
            if sizes:
                ids = {each: sizes[each].ids for each in spec.reference}
                scope = circuit_scope(spec, sizes[prompt].ids, sizes[prompt].spans, ids)
                if isinstance(scope, str):
                    continue
                start = scope.start
            curve = len(SHARES) if ranked else 0
            label, n = f"circuit {name}", 3 + groups
            yield PlannedRows(label, prompt, n, curve, drawn, "none", start, call=label)


def circuit_scope(
    spec: CircuitSpec, ids: Sequence[int], spans: Spans, references: Mapping[str, Sequence[int]]
) -> range | str:
    """The positions that a circuit ablates on a prompt, or a sentence that says why there are none.

    Tokens that a prompt begins with in common with every reference prompt are left out: what stands
    there is the mean already.

    Args:
        spec: The circuit.
        ids: The prompt's tokens.
        spans: The prompt's spans.
        references: Tokens of the reference prompts, by name.
    """
    for name, other in references.items():
        if len(other) != len(ids):
            return (
                f"the reference prompt {name!r} has {len(other)} tokens and this one {len(ids)}, "
                "so there is no mean at the same positions"
            )
    first = shared_prefix(ids, list(references.values()))
    at = spec.within.at
    start, stop = (0, len(ids)) if at is None else spans[at]
    if first >= stop:
        where = "it" if at is None else f"its span {at!r}"
        return f"the reference prompts have the same tokens as {where}: nothing would be ablated"
    return range(max(start, first), stop)


def n_ranked(hypothesis: Hypothesis) -> int:
    """Backward passes that rank the features of the curves: one per discovery prompt."""
    curves = [spec for spec in hypothesis.studies_of(CircuitSpec).values() if spec.curve]
    return sum(not hypothesis.prompts[p].held_out for spec in curves for p in spec.prompts)


def planned_texts(
    hypothesis: Hypothesis, left_out: Container[str] = ()
) -> list[tuple[str, Generation]]:
    """Settings by prompt: those of every intervention, and once more for the unclamped texts."""
    clamped = [
        (prompt, spec.generate)
        for name, spec in hypothesis.interventions.items()
        for prompt in spec.prompts
        if spec.generate is not None and name not in left_out
    ]
    return [*clamped, *dict.fromkeys(clamped)]


def _at_end(spec: InterventionSpec, hypothesis: Hypothesis) -> bool:
    """Whether a clamp is at the last token, as far as names tell: its direct effect is a row."""
    clamps = {name: long_form(clamp) for name, clamp in spec.clamp.items()}
    return any(
        clamp.onward or (clamp.at or hypothesis.supernodes[name].span) == LAST
        for name, clamp in clamps.items()
    )


def _start(spec: InterventionSpec, hypothesis: Hypothesis, size: PromptSize) -> int:
    """The first position that any clamp of the intervention writes to."""
    nodes = hypothesis.supernodes
    found = [_first_position(nodes[name], clamp, size) for name, clamp in spec.clamp.items()]
    spans = [each.from_ for each in spec.attention]
    found += [0 if span is None else size.spans[span][0] for span in spans]
    return min(found, default=size.n_tokens - 1)


def _first_position(supernode: SupernodeSpec, clamp: ClampForm, size: PromptSize) -> int:
    at = long_form(clamp).at or supernode.span
    start, end = size.spans.get(at, (size.n_tokens - 1, size.n_tokens))
    select = supernode.select
    first = end - 1 if select is None or select.tokens == "last" else start
    given = [parse_given(text).pos for text in explicit_features(supernode) or ()]
    return min([pos for pos in given if pos is not None] or [first])


def _most(spec: CircuitSpec, hypothesis: Hypothesis, name: str) -> int:
    """How many members a supernode has at most, as far as that can be told before it is found."""
    node = hypothesis.supernodes[name]
    if node.select is None:
        return len(explicit_features(node) or ())
    return node.select.top or spec.groups
