"""The language model as the engine sees it: named sites, a prefix that is computed once, rows.

This is the only module that knows TransformerLens: it wraps a Hugging Face model in a
`TransformerBridge` and translates a `Site` into a hook name. Names of sites follow TransformerLens
(`mlp_hidden` is its `mlp.hook_post`). All passes keep the batch axis first; `forward` starts with
one row and lets the others enter at the first layer where they can differ.

The layers of a large model may lie on several devices. What leaves this module, through hooks or as
weights, is on `device`, and what hooks give back goes to where it came from: so nothing else in the
engine knows of more than one device. Keys and values stay where their layer is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedTokenizerFast
from transformers.cache_utils import DynamicCache

from tracer.engine.model.blocks import (
    Block,
    QueryKey,
    Unembedding,
    read_block,
    read_query_key,
    read_unembedding,
    read_values,
)
from tracer.engine.model.foreign import guarded
from tracer.engine.model.placement import brought, home_device, is_quantised, moved
from tracer.engine.model.sites import HOOK_NAMES, Prefix, Site, SiteKind, cache_of
from tracer.engine.model.weights import Weights
from tracer.errors import ModelUnavailable, one_line
from tracer.record.record import ModelRecord

_SCALES: tuple[SiteKind, ...] = ("ln1_scale", "ln1_post_scale", "ln2_scale", "ln2_post_scale")
_ENDS, _LOGITS = Site("unembed_in", 0), Site("unembed_out", 0)
FEW_ROWS, _TILE = 8, 4
"""Up to so many, logits are W_U x of the rows side by side; see `Model._few_rows`."""
Hook = Callable[[Tensor], Tensor | None]
"""Sees the tensor at a site; what it returns, if anything, takes the tensor's place.

It changes nothing in place: what it sees may be a copy.
"""


class MlpParts(NamedTuple):
    """Inside of one MLP; `gate` is None where there is none."""

    gate: Float[Tensor, "pos feature"] | None
    up: Float[Tensor, "pos feature"]
    hidden: Float[Tensor, "pos feature"]


class CleanPass(NamedTuple):
    """What one unclamped pass over whole prompts leaves behind."""

    logits: Float[Tensor, "prompt vocab"]
    prefixes: tuple[Prefix, ...]
    """By prompt."""


class Model:
    """A loaded model; `tracer.engine.model.weights.open_weights` loads its weights."""

    def __init__(self, weights: Weights) -> None:
        self._bridge: Any = _boot(weights)
        self.record: ModelRecord = weights.record
        self.tokenizer: Any = weights.tokenizer
        self.n_layers: int = weights.record.n_layers
        self.context: int = int(self._bridge.cfg.n_ctx)
        self.device: torch.device = home_device(weights.hf_model)
        self.dtype: torch.dtype = weights.hf_model.dtype
        self.is_quantised: bool = is_quantised(weights.hf_model)
        text: Any = weights.hf_model.config.get_text_config()
        self.soft_cap: float | None = getattr(text, "final_logit_softcapping", None)
        self.stop_ids: frozenset[int] = weights.stop_ids
        self._names = set(self._bridge.hook_dict)

    def has(self, kind: SiteKind) -> bool:
        """Whether every layer has a site of this kind."""
        names = (HOOK_NAMES[kind].format(layer=layer) for layer in range(self.n_layers))
        return all(name in self._names for name in names)

    def has_at(self, site: Site) -> bool:
        """Whether there is such a site."""
        return HOOK_NAMES[site.kind].format(layer=site.layer) in self._names

    def require(self, kinds: Iterable[SiteKind], purpose: str) -> None:
        """Refuse, with the reason, a model that lacks a site.

        Raises:
            ModelUnavailable: A layer has no such hook point.
        """
        missing = [kind for kind in kinds if not self.has(kind)]
        if missing:
            raise ModelUnavailable(
                f"{self.record.name}: {purpose} needs {', '.join(missing)}, which TransformerLens "
                f"does not expose on every layer of {self.record.architecture}."
            )

    @property
    def scale_sites(self) -> tuple[Site, ...]:
        """Every norm scale on the residual stream's way to the logits."""
        layers = [Site(k, n) for k in _SCALES if self.has(k) for n in range(self.n_layers)]
        return (*layers, Site("final_scale", 0))

    def W_O(self, layer: int) -> Float[Tensor, "head d_head d_model"]:
        """What each head's activation is multiplied with before it is added to the stream.

        Raises:
            ModelUnavailable: Weights that are not in memory, or cannot be read; so of all weights.
        """
        block = self._bridge.blocks[layer]
        with self._reading("attention's weights", block):
            return moved(read_values(block.attn).W_O, self.device)

    def W_out(self, layer: int) -> Float[Tensor, "feature d_model"]:
        """Down projection of a layer's MLP, one row per hidden unit."""
        return self._mlp_weight(layer, "W_out")

    def W_in(self, layer: int) -> Float[Tensor, "feature d_model"]:
        """Up projection of a layer's MLP, one row per hidden unit."""
        return self._mlp_weight(layer, "W_in")

    def W_gate(self, layer: int) -> Float[Tensor, "feature d_model"]:
        """Gate projection of a layer's MLP, one row per hidden unit."""
        return self._mlp_weight(layer, "W_gate")

    def _mlp_weight(self, layer: int, name: str) -> Tensor:
        block = self._bridge.blocks[layer]
        with self._reading("the weights of the MLPs", block):
            return self._rows(moved(getattr(block.mlp, name), self.device))

    @contextmanager
    def _reading(self, what: str, part: Any) -> Generator[None, None, None]:
        """Have the weights of a part of the model at hand, or tell why they cannot be read.

        Raises:
            ModelUnavailable: TransformerLens refuses weights that are packed.
        """
        try:
            with brought(part.original_component):
                yield
        except NotImplementedError as error:
            reason = one_line(error).partition(" because ")[2].partition(". ")[0]
            raise ModelUnavailable(
                f"{self.record.name}: {what} cannot be read ({reason.rstrip('.')}). Use a "
                "dictionary as features, or the unquantised model."
            ) from error

    def _rows(self, weight: Tensor) -> Tensor:
        """The weight by hidden units: architectures differ in which axis stands first."""
        d_model = int(self._bridge.cfg.d_model)
        return weight.detach() if weight.shape[-1] == d_model else weight.detach().T

    @property
    def is_gated(self) -> bool:
        """Whether the MLP multiplies a gate with a linear reading."""
        return self.has("mlp_gate") and self.has("mlp_up")

    def b_in(self, layer: int) -> Float[Tensor, " feature"] | None:
        """Bias of the up projection; None without one."""
        return _bias(self._bridge.blocks[layer].mlp, "in")

    def b_gate(self, layer: int) -> Float[Tensor, " feature"] | None:
        """Bias of the gate projection; None without one."""
        return _bias(self._bridge.blocks[layer].mlp, "gate")

    def b_out(self, layer: int) -> Float[Tensor, " d_model"] | None:
        """Bias of the down projection; None without one."""
        return _bias(self._bridge.blocks[layer].mlp, "out")

    def mlp_parts(self, layer: int, x: Float[Tensor, "pos d_model"]) -> MlpParts:
        """What a layer's MLP computes from inputs that have passed its norm, in their dtype."""
        seen: dict[SiteKind, Tensor] = {}

        def keep(kind: SiteKind) -> Hook:
            return lambda tensor: seen.__setitem__(kind, tensor[0].to(x.dtype))

        kinds: tuple[SiteKind, ...] = ("mlp_up", "mlp_hidden")
        kinds = ("mlp_gate", *kinds) if self.is_gated else kinds
        with torch.no_grad(), self._hooked([(Site(k, layer), keep(k)) for k in kinds]):
            self._bridge.blocks[layer].mlp(x[None].to(self.dtype))
        return MlpParts(seen.get("mlp_gate"), seen["mlp_up"], seen["mlp_hidden"])

    def block(self, layer: int) -> Block:
        """Attention's weights and the norms of a layer."""
        block = self._bridge.blocks[layer]
        with self._reading("attention's weights", block):
            return moved(read_block(block), self.device)

    def query_key(self, layer: int) -> QueryKey:
        """What the attention scores of a layer are made of."""
        block = self._bridge.blocks[layer]
        with self._reading("attention's weights", block):
            return moved(read_query_key(block), self.device)

    @property
    def unembedding(self) -> Unembedding:
        """The last norm and what turns its output into logits, before any soft cap."""
        bridge = self._bridge
        with self._reading("the unembedding", bridge.unembed), brought(bridge.ln_final):
            return moved(read_unembedding(bridge), self.device)

    def clean(
        self, ids: Int[Tensor, "prompt pos"], hooks: Sequence[tuple[Site, Hook]]
    ) -> CleanPass:
        """One pass over whole prompts of one length that keeps every layer's keys and values.

        Logits are taken at the last position only. In float32 on a CPU up to eight prompts of eight
        tokens or more come out as each does alone, to the last bit, as far as was seen; anywhere
        else the last bits may differ.
        """
        cache = DynamicCache()
        with torch.no_grad():
            logits = self.go_on(ids, hooks, cache)
        layers: list[Any] = list(cache.layers)

        def prefix(row: slice) -> Prefix:
            return Prefix(tuple(x.keys[row] for x in layers), tuple(x.values[row] for x in layers))

        return CleanPass(logits, tuple(prefix(slice(n, n + 1)) for n in range(len(ids))))

    def read(self, ids: Int[Tensor, "prompt pos"], hooks: Sequence[tuple[Site, Hook]]) -> None:
        """One pass over whole prompts for what hooks see of them; no logits are made."""
        nothing: tuple[Site, Hook] = (_ENDS, lambda x: x[:, :0])
        with torch.no_grad(), self._hooked([*hooks, nothing]):
            self._bridge.original_model(ids.to(self.device), use_cache=False, logits_to_keep=1)

    def ends(
        self, ids: Int[Tensor, "prompt pos"], hooks: Sequence[tuple[Site, Hook]]
    ) -> Float[Tensor, "prompt pos d_model"]:
        """What one pass over whole prompts has before the unembedding; `unembed` makes logits."""
        seen: list[Tensor] = []

        def take(x: Tensor) -> Tensor:
            seen.append(x)
            return x[:, :0]

        with torch.no_grad(), self._hooked([*hooks, (_ENDS, take)]):
            self._bridge.original_model(ids.to(self.device), use_cache=False, logits_to_keep=0)
        return seen[0]

    def forward(
        self,
        ids: Int[Tensor, " pos"],
        hooks: Sequence[tuple[Site, Hook]],
        *,
        prefix: Prefix | None = None,
        rows: int = 1,
        rows_from: int = 0,
    ) -> Float[Tensor, "row vocab"]:
        """Logits at the last position, for `rows` copies of a prompt that hooks tell apart.

        Args:
            ids: The tokens after the prefix.
            hooks: Called in the given order at each site.
            prefix: Keys and values of everything before `ids`, the same for all rows.
            rows: Width of the batch.
            rows_from: Layers below this one are computed once; no hook may tell rows apart there.
        """

        def widen(x: Tensor) -> Tensor:
            return x.expand(rows, -1, -1)

        # The last positions of many rows are a strided view, which the unembedding's matrix
        # product would take seven times as long for.
        batching: list[tuple[Site, Hook]] = [
            (Site("resid_pre", rows_from), widen),
            (_ENDS, torch.Tensor.contiguous),
        ]
        cache = cache_of(prefix, rows, rows_from) if prefix is not None else None
        return self.go_on(ids[None], [*batching, *hooks] if rows > 1 else hooks, cache)

    def go_on(
        self,
        ids: Int[Tensor, "_ pos"],
        hooks: Sequence[tuple[Site, Hook]],
        cache: DynamicCache | None,
    ) -> Float[Tensor, "row vocab"]:
        """Logits at the last position of rows of tokens; the cache takes their keys and values in.

        Args:
            ids: The tokens after what the cache holds; a single row may be widened by a hook.
            hooks: Called in the given order at each site.
            cache: Keys and values of each row, from `cache_of`; None at the beginning of a text.
        """
        with self._hooked([*hooks, *self._few_rows()]):
            out = self._bridge.original_model(
                ids.to(self.device),
                past_key_values=cache,
                use_cache=cache is not None,
                logits_to_keep=1,
            )
        return _precise(out.logits[:, -1]).to(self.device)

    def _few_rows(self) -> list[tuple[Site, Hook]]:
        """Hooks that make the logits of a few rows faster: W_U x with the rows as columns of x.

        The library's product of a few rows with a weight of 262,144 rows goes through the weight
        more than once. Columns of zeros fill the last tile, so that the logits of a row are the
        same to the last bit, whichever rows stand beside it. What the model does with its logits
        afterwards, such as a soft cap, it does with these.
        """
        end: Any = self._bridge.unembed.original_component
        if self.device.type != "cpu" or not isinstance(end, torch.nn.Linear):
            return []
        if end.weight.device != self.device or not end.weight.is_floating_point():
            return []  # put aside, or packed
        W_U, b_U = end.weight, getattr(end, "bias", None)
        held: list[Tensor] = []

        def take(x: Tensor) -> Tensor | None:
            if x.dtype != torch.float32 or not 0 < len(x) <= FEW_ROWS or x.shape[1] != 1:
                return None
            held.append(x[:, 0])
            return x[:0]

        def give(logits: Tensor) -> Tensor | None:
            if not held:
                return None
            rows = held.pop()
            columns = torch.nn.functional.pad(rows, (0, 0, 0, -len(rows) % _TILE)).T
            logits = (W_U @ columns).T[: len(rows)].contiguous()
            return (logits if b_U is None else logits + b_U)[:, None]

        return [(_ENDS, take), (_LOGITS, give)]

    def unembed(self, ends: Float[Tensor, "row d_model"]) -> Float[Tensor, "row vocab"]:
        """Logits of what stood before the unembedding, to the last bit those of the same batch.

        The model's own end is used, whatever it caps or scales: a token is run through it, and its
        last state is replaced.
        """
        whole = ends.to(self.device, self.dtype)[:, None].contiguous()
        with torch.no_grad():
            return self.forward(torch.zeros(1, dtype=torch.long), [(_ENDS, lambda x: whole)])

    def _hooked(self, hooks: Sequence[tuple[Site, Hook]]) -> AbstractContextManager[Any]:
        if self.device.type == "cuda":
            # Products of float32 are float32, whatever the environment or the program says of
            # TF32, whose factors have 10 bits: in passes, and in all that is made of them.
            torch.set_float32_matmul_precision("highest")
        return self._bridge.hooks(
            fwd_hooks=[
                (HOOK_NAMES[site.kind].format(layer=site.layer), _adapt(hook, self.device))
                for site, hook in hooks
            ]
        )


def _boot(weights: Weights) -> Any:
    """Wrap the loaded Hugging Face model; nothing is downloaded or copied."""
    if weights.bridge is not None:
        return weights.bridge
    model, record = weights.hf_model, weights.record
    what = f"{record.name}: TransformerLens cannot wrap architecture {record.architecture}"
    advice = "Use another model, or update transformer-lens where the model is newer than it."
    with guarded(what, advice), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return TransformerBridge.boot_transformers(
            record.architecture,
            hf_model=model,
            tokenizer=_no_tokenizer(),
            device=model.device,
            dtype=model.dtype,
        )


def _no_tokenizer() -> PreTrainedTokenizerFast:
    """One that knows a single word: tracer asks the model's own, and never the bridge's.

    TransformerLens wants one, and reads the model's a second time from its files, which takes
    seconds for 262,144 tokens.
    """
    word = "-"
    backend = Tokenizer(WordLevel({word: 0}, unk_token=word))
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=word, pad_token=word)


def _bias(mlp: Any, projection: str) -> Tensor | None:
    """A projection's bias under TransformerLens's name for the projection."""
    bias = getattr(getattr(mlp, projection, None), "bias", None)
    return bias.detach() if isinstance(bias, Tensor) else None


def _precise(logits: Tensor) -> Tensor:
    """In float32 at least, whatever the model computes in."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _adapt(ours: Hook, home: torch.device) -> Callable[..., Tensor | None]:
    """A hook as TransformerLens calls it: it also hands over its hook point, as `hook`."""

    def theirs(tensor: Tensor, hook: object) -> Tensor | None:
        if tensor.device == home:
            return ours(tensor)
        changed = ours(tensor.to(home))
        return None if changed is None else changed.to(tensor.device)

    return theirs
