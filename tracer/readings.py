"""From logits to what is written down."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.record import Activation, Reading, TokenReading

N_TOP = 10


class ControlReadings(NamedTuple):
    """What is kept of control rows."""

    logits: Float[Tensor, "control token"]
    logsumexp: Float[Tensor, " control"]
    top: Int[Tensor, " control"]


def reading(logits: Float[Tensor, " vocab"], asked: Mapping[str, int], tokenizer: Any) -> Reading:
    """The most probable tokens, and the asked ones, of one row."""
    total = float(torch.logsumexp(logits, dim=-1))

    def read(token: str, token_id: int) -> TokenReading:
        logit = logits[token_id]
        before = int((logits > logit).sum()) + int((logits[:token_id] == logit).sum())
        probability = math.exp(float(logit) - total)
        return TokenReading(
            token=token,
            id=token_id,
            logit=float(logit),
            probability=probability,
            rank=before + 1,
        )

    top = tuple(read(tokenizer.decode([n]), n) for n in _best(logits))
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
    return ControlReadings(
        logits[:, list(ids)].cpu(),
        torch.logsumexp(logits, dim=-1).cpu(),
        logits.argmax(dim=-1).cpu(),
    )


def activation(
    after: Float[Tensor, " feature"],
    clean: Float[Tensor, " feature"],
    source: Float[Tensor, " feature"] | None,
) -> Activation:
    """A supernode's activation as a share of the clean one and of its sources' mean."""
    return Activation(
        of_clean=_fraction(after, clean),
        of_source=None if source is None else _fraction(after, source),
        mean_of_clean=_mean_share(after, clean),
        mean_of_source=None if source is None else _mean_share(after, source),
    )


def _fraction(after: Tensor, reference: Tensor) -> float | None:
    """⟨a, a₀⟩ / ⟨a₀, a₀⟩; None where nothing was active."""
    square = float(reference.double() @ reference.double())
    return float(after.double() @ reference.double()) / square if square > 0 else None


def _mean_share(after: Tensor, reference: Tensor) -> float | None:
    """Mean of aᵢ / a₀ᵢ over the features that are active in the reference; None without any."""
    active = reference != 0
    shares = after[active].double() / reference[active].double()
    return float(shares.mean()) if active.any() else None
