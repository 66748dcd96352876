"""The unclamped pass of a prompt, and what is read off the logits of any pass.

The clean pass is what every clamp starts from and is compared with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.places import Places
from tracer.engine.model.model import Hook, Model
from tracer.engine.model.sites import Prefix
from tracer.engine.transfer import on_cpu
from tracer.errors import EngineError
from tracer.hypothesis.tokens import TokenizedPrompt
from tracer.hypothesis.vocabulary import token_text
from tracer.record.trials import Activation, Reading, TokenReading


@dataclass(frozen=True)
class CleanRun:
    """One prompt's clean pass: last logits, keys and values, and feature activations."""

    prompt: TokenizedPrompt
    ids: Int[Tensor, " pos"]
    logits: Float[Tensor, " vocab"]
    keys_values: Callable[[], Prefix]
    """Gives those of the whole prompt; of a pass that was read from a cache they are made then."""
    d_keys: int
    """Length of one token's keys, all layers together."""
    positions: tuple[int, ...]
    activations: Mapping[int, Float[Tensor, "_ feature"]]
    """By layer, at `positions` only; on the CPU."""
    output_norms: Mapping[int, Float[Tensor, " _"]]
    """By layer, L2 norm of what stands at its output site, at `positions` only; on the CPU."""

    @property
    def prefix(self) -> Prefix:
        """Keys and values of every token, which rows that change later tokens go on from."""
        return self.keys_values()

    def activation(self, layer: int, pos: int) -> Float[Tensor, " feature"]:
        """All of a layer's activations at a kept position."""
        return self.activations[layer][self.positions.index(pos)]

    def at(self, where: Places) -> Float[Tensor, " n"]:
        """Activations of single features; all positions are kept ones."""
        found = torch.zeros(len(where), dtype=self.activations[0].dtype)
        kept = np.array(self.positions)
        for layer in np.unique(where[:, 0]).tolist():
            rows = np.flatnonzero(where[:, 0] == layer)
            pos = np.searchsorted(kept, where[rows, 1])
            assert (kept[pos] == where[rows, 1]).all(), "a position that was not kept"
            of_layer = self.activations[layer]
            entry = pos * of_layer.shape[1] + where[rows, 2]
            found[torch.from_numpy(rows)] = of_layer.reshape(-1)[torch.from_numpy(entry)]
        return found


class Wanted(NamedTuple):
    """A prompt, and the positions, in order, whose features are kept."""

    prompt: TokenizedPrompt
    positions: tuple[int, ...]


def clean_run(
    model: Model, basis: FeatureBasis, prompt: TokenizedPrompt, positions: Iterable[int]
) -> CleanRun:
    """Run a prompt unclamped and keep its features at `positions`."""
    return clean_runs(model, basis, [Wanted(prompt, tuple(sorted(set(positions))))])[0]


def clean_runs(model: Model, basis: FeatureBasis, prompts: Sequence[Wanted]) -> list[CleanRun]:
    """Run prompts of one length together, unclamped."""
    lengths = [len(each.positions) for each in prompts]
    kept = [(row, pos) for row, each in enumerate(prompts) for pos in each.positions]
    rows, pos = torch.tensor(kept, dtype=torch.long, device=model.device).reshape(-1, 2).T
    seen: dict[int, Tensor] = {}
    norms: dict[int, Tensor] = {}

    def keep(layer: int) -> Hook:
        def hook(x: Tensor) -> None:
            seen[layer] = basis.encode(layer, x[rows, pos])

        return hook

    def measure(layer: int) -> Hook:
        def hook(x: Tensor) -> None:
            norms[layer] = x[rows, pos].float().norm(dim=-1)

        return hook

    ids = torch.tensor([each.prompt.ids for each in prompts])
    layers = [*range(basis.n_layers), *basis.d_heads]
    hooks = [(basis.read_site(n), keep(n)) for n in layers]
    hooks += [(basis.output_site(n), measure(n)) for n in layers]
    logits, prefixes = model.clean(ids, hooks)
    here = iter(on_cpu([*seen.values(), *norms.values()]))
    activations = {layer: next(here).split(lengths) for layer in seen}
    of_outputs = {layer: next(here).split(lengths) for layer in norms}

    def run(n: int) -> CleanRun:
        d_keys = sum(keys.shape[1] * keys.shape[3] for keys in prefixes[n].keys)
        mine = [{layer: x[n] for layer, x in found.items()} for found in (activations, of_outputs)]
        prompt, positions = prompts[n]
        prefix = prefixes[n]
        return CleanRun(prompt, ids[n], logits[n], lambda: prefix, d_keys, positions, *mine)

    return [run(n) for n in range(len(prompts))]


def require_finite(logits: Float[Tensor, "*row vocab"], prompt: str, when: str) -> None:
    """Refuse logits of a prompt that are NaN or infinite; `when` ends the sentence.

    Raises:
        EngineError: Some are.
    """
    if not bool(torch.isfinite(logits.sum(-1)).all()):
        raise EngineError(
            f"prompt {prompt!r}: the model's logits are not finite (NaN or infinite) {when}. Try "
            "dtype float32, and where it is clamped a smaller factor."
        )


N_TOP = 10


class ControlReadings(NamedTuple):
    """What is kept of control rows."""

    logits: Float[Tensor, "control token"]
    logsumexp: Float[Tensor, " control"]
    top: Int[Tensor, " control"]


def reading(logits: Float[Tensor, " vocab"], asked: Mapping[str, int], tokenizer: Any) -> Reading:
    """The most probable tokens, and the asked ones, of one row."""
    logits = logits.cpu()
    total, best = float(torch.logsumexp(logits, dim=-1)), _best(logits)
    ranks = {token_id: rank for rank, token_id in enumerate(best, 1)}

    def read(token: str, token_id: int) -> TokenReading:
        logit = logits[token_id]
        if token_id not in ranks:
            before = int((logits > logit).sum()) + int((logits[:token_id] == logit).sum())
            ranks[token_id] = before + 1
        probability = math.exp(float(logit) - total)
        return TokenReading(
            token=token,
            id=token_id,
            logit=float(logit),
            probability=probability,
            rank=ranks[token_id],
        )

    top = tuple(read(token_text(n, tokenizer), n) for n in best)
    return Reading(top=top, tokens={token: read(token, n) for token, n in asked.items()})


def _best(logits: Float[Tensor, " vocab"]) -> list[int]:
    """Ids of the most probable tokens; ties go to the lower id."""
    n_top = min(N_TOP, logits.numel())
    least = torch.topk(logits, n_top).values[-1]
    among = (logits >= least).nonzero()[:, 0]
    order = torch.sort(logits[among], descending=True, stable=True).indices
    return [int(n) for n in among[order[:n_top]]]


def empty_readings(n_rows: int, n_tokens: int, dtype: torch.dtype) -> ControlReadings:
    """Room for the readings of `n_rows` rows, of logits of a dtype."""
    return ControlReadings(
        torch.zeros(n_rows, n_tokens, dtype=dtype),
        torch.zeros(n_rows, dtype=dtype),
        torch.zeros(n_rows, dtype=torch.long),
    )


def control_readings(logits: Float[Tensor, "row vocab"], ids: Sequence[int]) -> ControlReadings:
    """The numbers a control is compared by: asked logits, their normaliser, and the top token."""
    columns = torch.tensor(ids, dtype=torch.long, device=logits.device)
    found = (logits[:, columns], torch.logsumexp(logits, dim=-1), logits.argmax(dim=-1))
    return ControlReadings(*on_cpu(found))


def activation(
    after: Float[Tensor, " feature"],
    clean: Float[Tensor, " feature"],
    source: Float[Tensor, " feature"] | None,
    width: int = 1,
) -> Activation:
    """A supernode's activation as a share of the clean one and of its sources' mean.

    `width` is how many scalars in a row are one member: d_head of heads, 1 of features.
    """
    return Activation(
        of_clean=_fraction(after, clean),
        of_source=None if source is None else _fraction(after, source),
        mean_of_clean=_mean_share(after, clean, width),
        mean_of_source=None if source is None else _mean_share(after, source, width),
    )


def _fraction(after: Tensor, reference: Tensor) -> float | None:
    """⟨a, a₀⟩ / ⟨a₀, a₀⟩; None where nothing was active."""
    square = float(reference.double() @ reference.double())
    return float(after.double() @ reference.double()) / square if square > 0 else None


def _mean_share(after: Tensor, reference: Tensor, width: int) -> float | None:
    """Mean of the members' own shares, of those active in the reference; None without any.

    That of a feature is aᵢ / a₀ᵢ, that of a head ⟨z, z₀⟩ / ⟨z₀, z₀⟩.
    """
    now, then = (x.double().reshape(-1, width) for x in (after, reference))
    active = (then != 0).any(1)
    now, then = now[active], then[active]
    shares = now / then if width == 1 else (now * then).sum(1) / then.square().sum(1)
    return float(shares.mean()) if active.any() else None
