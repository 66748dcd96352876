"""The local replacement model of one prompt, recorded in one clean pass.

Attention patterns and norm scales are held, and the outputs of the MLPs are given, so everything
between features is affine. `freeze` checks that the maps built from the weights give the model's
own residual stream back at every layer; a model whose blocks do something else (a residual
multiplier, gates on attention, …) is refused. Features stay sparse: of a wide dictionary few are
active.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.attribution.frozen_block import FrozenBlock
from tracer.engine.attribution.frozen_norm import FrozenNorm
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.untrained import n_untrained
from tracer.engine.model.blocks import Block, Unembedding
from tracer.engine.model.model import Hook, Model
from tracer.engine.model.sites import Site, SiteKind
from tracer.errors import EngineError, ModelUnavailable


@dataclass(frozen=True)
class ActiveFeatures:
    """A layer's active features, by position, then index."""

    pos: Int[Tensor, " n"]
    index: Int[Tensor, " n"]
    values: Float[Tensor, " n"]
    n_features: int
    """Of the layer, active or not."""

    def at(self, pos: Int[Tensor, " m"], index: Int[Tensor, " m"]) -> Float[Tensor, " m"]:
        """Activations at places; 0 where the feature is not active."""
        if not len(self.values):
            return self.values.new_zeros(len(pos))
        keys = self.pos.long() * self.n_features + self.index
        wanted = pos.long() * self.n_features + index
        place = torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)
        return torch.where(keys[place] == wanted, self.values[place], 0.0)


def _active(activations: Float[Tensor, "pos feature"], first: int) -> ActiveFeatures:
    """What is not zero from position `first` on."""
    places = (activations[first:] != 0).nonzero()
    pos, index = places[:, 0] + first, places[:, 1]
    return ActiveFeatures(pos.int(), index.int(), activations[pos, index], activations.shape[1])


TOLERANCE = {torch.float64: 1e-5, torch.float32: 2e-4}
"""Largest difference, over the largest entry of the stream, between our blocks and the model's.

Many norms compute in float32 even in a float64 model, which alone makes 1e-7.
"""
LOW_PRECISION = 0.05
"""The same for models that compute in half precision, or whose weights are quantised."""
_LAYER = "layer {} does more than attention, norms and an MLP added to a residual stream"
_END = "after the last layer it does more than a norm, an unembedding and a soft cap"


@dataclass(frozen=True)
class Frozen:
    """One prompt, frozen."""

    ids: tuple[int, ...]
    n_prefix: int
    """Length of the prefix that is alike on every prompt, so that its MLPs are constants: special
    tokens, and the opening of a chat format that the dictionary was not trained on."""
    logits: Float[Tensor, " vocab"]
    """At the last position."""
    blocks: tuple[FrozenBlock, ...]
    resid_pre: tuple[Float[Tensor, "pos d_model"], ...]
    """Before each layer; the first is the embedding."""
    inputs: tuple[Float[Tensor, "pos d_model"], ...]
    """At each layer's input site."""
    outputs: tuple[Float[Tensor, "pos d_model"], ...]
    """At each layer's output site."""
    active: tuple[ActiveFeatures, ...]
    """Each layer's active features, after the prefix."""
    resid_post: Float[Tensor, " d_model"]
    """After the last layer, at the last position."""
    final_scale: Float[Tensor, "1 1"]
    """Of the last norm, at the last position."""
    unembedding: Unembedding

    @property
    def n_pos(self) -> int:
        """Tokens."""
        return len(self.ids)

    @property
    def n_layers(self) -> int:
        """Layers."""
        return len(self.blocks)

    @property
    def device(self) -> torch.device:
        """Where all tensors are."""
        return self.logits.device

    @property
    def dtype(self) -> torch.dtype:
        """What the sweep computes in: float32, or float64 where the model does."""
        return self.resid_pre[0].dtype


def n_prefix(ids: Sequence[int], special: Sequence[int], opening: Sequence[int] = ()) -> int:
    """Length of the leading run of special tokens, or of the opening where that is longer.

    At least one token is left to be explained.
    """
    known = set(special)
    n = next((n for n, token in enumerate(ids) if token not in known), len(ids))
    return min(max(n, n_untrained(ids, opening)), len(ids) - 1)


def freeze(model: Model, basis: FeatureBasis, ids: Int[Tensor, " pos"]) -> Frozen:
    """Run a prompt once and record its local replacement model.

    Raises:
        ModelUnavailable: The model's blocks are not what the sweep can carry gradients through.
        EngineError: A logit, or an activation, is not finite.
    """
    model.require(("resid_pre", "pattern", "resid_post", "mlp_out"), "an attribution graph")
    seen, logits = _record(model, basis, ids)
    layers = range(model.n_layers)
    blocks = _with_biases([_block(model, basis, layer, seen) for layer in layers])
    tokens = ids.tolist()
    first = n_prefix(tokens, model.tokenizer.all_special_ids, basis.opening)
    frozen = Frozen(
        ids=tuple(tokens),
        n_prefix=first,
        logits=logits,
        blocks=blocks,
        resid_pre=tuple(seen[Site("resid_pre", layer)] for layer in layers),
        inputs=tuple(seen[basis.input_site(layer)] for layer in layers),
        outputs=tuple(seen[basis.output_site(layer)] for layer in layers),
        active=tuple(
            _active(basis.encode(layer, seen.pop(basis.read_site(layer))), first)
            for layer in layers
        ),
        resid_post=seen[Site("resid_post", model.n_layers - 1)][-1],
        final_scale=seen[Site("final_scale", 0)][-1:],
        unembedding=model.unembedding,
    )
    _check_finite(frozen)
    _check(model, frozen, seen)
    return frozen


def _record(
    model: Model, basis: FeatureBasis, ids: Int[Tensor, " pos"]
) -> tuple[dict[Site, Tensor], Tensor]:
    """Every site the replacement model needs, in float32 at least, without the batch axis."""
    norms: tuple[SiteKind, ...] = ("ln1_scale", "ln1_post_scale", "ln2_scale", "ln2_post_scale")
    present: list[SiteKind] = [kind for kind in norms if model.has(kind)]
    kinds: tuple[SiteKind, ...] = ("resid_pre", "pattern", *present)
    sites = {Site(kind, layer) for kind in kinds for layer in range(model.n_layers)}
    for layer in range(model.n_layers):
        sites |= {basis.read_site(layer), basis.input_site(layer), basis.output_site(layer)}
    sites |= {Site("resid_post", model.n_layers - 1), Site("final_scale", 0)}
    sites.add(Site("unembed_in", 0))
    seen: dict[Site, Tensor] = {}

    def keep(site: Site) -> Hook:
        def hook(x: Tensor) -> None:
            if x.ndim < 3:
                raise ModelUnavailable(
                    f"{model.record.name}: no attribution graph, because at {site.kind} "
                    f"{model.record.architecture} has no axis of its own for positions."
                )
            seen[site] = x[0].detach().to(torch.promote_types(x.dtype, torch.float32))

        return hook

    logits = model.clean(ids[None], [(site, keep(site)) for site in sorted(sites)]).logits[0]
    return seen, logits


def _block(model: Model, basis: FeatureBasis, layer: int, seen: dict[Site, Tensor]) -> FrozenBlock:
    weights = model.block(layer)
    pattern = seen[Site("pattern", layer)]
    ones = torch.ones(pattern.shape[-1], 1, dtype=pattern.dtype, device=pattern.device)

    def norm(name: str, kind: SiteKind) -> FrozenNorm:
        return FrozenNorm(getattr(weights, name), seen.get(Site(kind, layer), ones))

    identity = FrozenNorm(None, ones)
    post = basis.output_site(layer).kind == "mlp_out"
    return FrozenBlock(
        weights=weights,
        pattern=pattern,
        before=norm("ln1", "ln1_scale"),
        after=norm("ln1_post", "ln1_post_scale"),
        read=_read_norm(weights, basis.input_site(layer), seen, identity),
        write=norm("ln2_post", "ln2_post_scale") if post else identity,
        is_biased=False,
    )


def _with_biases(blocks: Sequence[FrozenBlock]) -> tuple[FrozenBlock, ...]:
    """The blocks, which know whether their attention is biased: read of all layers at once."""
    found: list[Tensor] = []
    for block in blocks:
        norms = [each.norm.b for each in (block.before, block.after) if each.norm is not None]
        biases = [*norms, block.weights.b_V, block.weights.b_O]
        some = [(each != 0).any() for each in biases if each is not None]
        none = torch.zeros((), dtype=torch.bool, device=block.pattern.device)
        found.append(torch.stack([none, *some]).any())
    are_biased = torch.stack(found).tolist()
    return tuple(replace(b, is_biased=each) for b, each in zip(blocks, are_biased, strict=True))


def _read_norm(
    weights: Block, site: Site, seen: dict[Site, Tensor], identity: FrozenNorm
) -> FrozenNorm:
    """From the residual stream to a basis's input site."""
    if site.kind == "resid_mid":
        return identity
    shared = weights.ln2 is None and weights.is_parallel
    norm = weights.ln1 if shared else weights.ln2
    kind: SiteKind = "ln1_scale" if shared else "ln2_scale"
    scale = seen.get(Site(kind, site.layer), identity.scale)
    if norm is not None and site.kind == "ln2_normalized":
        norm = norm.plain()
    return FrozenNorm(norm, scale)


def _check_finite(frozen: Frozen) -> None:
    tensors = [frozen.logits, *(each.values for each in frozen.active)]
    if not bool(torch.stack([torch.isfinite(x).all() for x in tensors]).all()):
        raise EngineError(
            "the model's logits or activations are not finite (NaN or infinite) on this prompt. "
            "Try dtype float32."
        )


def _check(model: Model, frozen: Frozen, seen: dict[Site, Tensor]) -> None:
    """Compare every layer, and the end, with what the model computed.

    Raises:
        ModelUnavailable: They differ.
    """
    resid_post = seen[Site("resid_post", frozen.n_layers - 1)]
    after, parts, errors = [*frozen.resid_pre[1:], resid_post], list[str](), list[Tensor]()

    def compare(part: str, ours: Tensor, theirs: Tensor) -> None:
        parts.append(part)
        errors.append((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-30))

    for layer, (block, resid_pre) in enumerate(zip(frozen.blocks, frozen.resid_pre, strict=True)):
        # resid_mid = resid_pre + attention(resid_pre), resid_post = resid_mid + write(output)
        resid_mid = resid_pre + block.attend(resid_pre)
        read = block.read(resid_pre if block.is_parallel else resid_mid)
        compare(_LAYER.format(layer), read, frozen.inputs[layer])
        compare(_LAYER.format(layer), resid_mid + block.write(frozen.outputs[layer]), after[layer])
    normed = seen[Site("unembed_in", 0)][-1:]
    final = FrozenNorm(frozen.unembedding.ln_final, frozen.final_scale)
    compare(_END, final(resid_post[-1:]), normed)
    compare(_END, _logits(model, frozen, normed[0]), frozen.logits)
    _require_alike(model, parts, torch.stack([each.double() for each in errors]).tolist())


def _logits(
    model: Model, frozen: Frozen, normed: Float[Tensor, " d_model"]
) -> Float[Tensor, " vocab"]:
    """In the unembedding's own type: a copy of it in another would be large."""
    end = frozen.unembedding
    logits = normed.to(end.W_U.dtype) @ end.W_U
    if end.b_U is not None:
        logits = logits + end.b_U
    logits = logits.to(frozen.logits.dtype)
    cap = model.soft_cap
    return logits if cap is None else cap * torch.tanh(logits / cap)


def _require_alike(model: Model, parts: Sequence[str], errors: Sequence[float]) -> None:
    """Refuse a model at the first part that differs by too much of its largest entry."""
    exact = None if model.is_quantised else TOLERANCE.get(model.dtype)
    for part, error in zip(parts, errors, strict=True):
        if error > (LOW_PRECISION if exact is None else exact):
            raise ModelUnavailable(
                f"{model.record.name}: no attribution graph, because {part} (it differs by "
                f"{error:.1g} of its largest entry; the model is {model.record.architecture})."
            )
