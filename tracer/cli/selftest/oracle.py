"""What is true of a planted model, by brute force in plain PyTorch: no part of tracer measures.

The neurons whose places the construction knows are set by hooks on the down projections, on every
sentence of a relation at once, and the logits are looked at. Claims are made only where this shows
that the planted circuit does, on every city, what the construction says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracer.cli.selftest.claims import DOSES, QUIET
from tracer.cli.selftest.planted import Place, Planted
from tracer.cli.selftest.sentences import CITY, END
from tracer.cli.selftest.world import N_CITIES, N_VALUES, Part, Role


class Setting(NamedTuple):
    """Neurons that are set to values on every row, at one position."""

    places: Sequence[Place]
    values: Float[Tensor, " n"]
    pos: int


class Swap(NamedTuple):
    """What setting the neurons of one value to 0, and those of another as on its cities, does."""

    ablated_top: Int[Tensor, " city"]
    """The first token when the one is ablated alone, on each of its cities."""
    answering: Float[Tensor, " city"]
    """What is left then of its answer neurons' summed activation, as a share."""
    swapped_top: Int[Tensor, " city"]
    rise: Float[Tensor, " city"]
    """Of logit(the other's answer) − logit(the one's)."""
    dosed: Float[Tensor, "dose city"]
    """Log-probability of the other's answer at each dose of the other."""


def logits(
    planted: Planted, ids: Int[Tensor, "row pos"], settings: Sequence[Setting] = ()
) -> Float[Tensor, "row vocab"]:
    """At the last position, with neurons set."""
    handles = [
        _down(planted, layer).register_forward_pre_hook(_setter(layer, settings))
        for layer in range(planted.plan.n_layers)
    ]
    with torch.no_grad():
        out = planted.model(ids).logits[:, -1]
    for handle in handles:
        handle.remove()
    return out


def _setter(layer: int, settings: Sequence[Setting]) -> Callable[..., tuple[Tensor]]:
    def hook(module: torch.nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        hidden = args[0].clone()
        for setting in settings:
            for (at, index), value in zip(setting.places, setting.values, strict=True):
                if at == layer:
                    hidden[:, setting.pos, index] = value
        return (hidden,)

    return hook


def activations(
    planted: Planted,
    ids: Int[Tensor, "row pos"],
    places: Sequence[Place],
    pos: int,
    settings: Sequence[Setting] = (),
) -> Float[Tensor, "row n"]:
    """What neurons are, others being set in earlier layers."""
    seen: dict[int, Tensor] = {}

    def keep(layer: int) -> Callable[..., None]:
        def hook(module: torch.nn.Module, args: tuple[Tensor]) -> None:
            seen[layer] = args[0][:, pos]

        return hook

    handles = [
        _down(planted, layer).register_forward_pre_hook(keep(layer))
        for layer in range(planted.plan.n_layers)
    ]
    logits(planted, ids, settings)
    for handle in handles:
        handle.remove()
    return torch.stack([seen[layer][:, index] for layer, index in places], dim=1)


def _down(planted: Planted, layer: int) -> torch.nn.Module:
    return planted.model.get_submodule(f"model.layers.{layer}.mlp.down_proj")


def rows_of(planted: Planted, relation: int, value: int) -> Int[Tensor, "row pos"]:
    """The sentences on the cities of a value."""
    cities = planted.plan.world.relations[relation].cities(value)
    return planted.sentences.ids[[relation * N_CITIES + city for city in cities]]


def swap(planted: Planted, relation: int, part: Part, one: int, other: int) -> Swap:
    """Swap the values' neurons of a part at the city."""
    mine, theirs = rows_of(planted, relation, one), rows_of(planted, relation, other)
    own = planted.places[Role(relation, part, one)]
    others = planted.places[Role(relation, part, other)]
    off = Setting(own, torch.zeros(len(own)), CITY)
    on = Setting(others, activations(planted, theirs, others, CITY).mean(0), CITY)
    first, second = (planted.answer_id(relation, value) for value in (one, other))
    before, ablated = (logits(planted, mine, settings) for settings in ((), (off,)))
    doses = [(off, on._replace(values=factor * on.values)) for factor in DOSES]
    dosed = torch.stack([logits(planted, mine, settings) for settings in doses])
    moved = dosed[DOSES.index(1)] - before
    says = planted.places.get(Role(relation, "answer", one), ())
    left = [activations(planted, mine, says, END, s).sum(1) for s in ((off,), ())] if says else []
    return Swap(
        ablated_top=ablated.argmax(-1),
        answering=left[0] / left[1] if left else torch.ones(len(mine)),
        swapped_top=dosed[DOSES.index(1)].argmax(-1),
        rise=moved[:, second] - moved[:, first],
        dosed=dosed.log_softmax(-1)[..., second],
    )


def answered(planted: Planted, relation: int) -> list[int]:
    """The values all of whose cities get their answer."""
    return [
        value
        for value in range(N_VALUES)
        if bool(
            (
                logits(planted, rows_of(planted, relation, value)).argmax(-1)
                == planted.answer_id(relation, value)
            ).all()
        )
    ]


def does_swap(planted: Planted, relation: int, found: Swap, one: int, other: int) -> bool:
    """Whether everything that true claims state is so on every city of the one.

    Ablation takes the answer away and quiets its neurons; the swap puts the other's answer first,
    and every dose of it makes that answer likelier.
    """
    lost = (found.ablated_top != planted.answer_id(relation, one)) & (found.answering < QUIET)
    won = found.swapped_top == planted.answer_id(relation, other)
    return bool(lost.all()) and bool(won.all()) and bool((found.dosed.diff(dim=0) > 0).all())


def gap(planted: Planted, relation: int, one: int, other: int) -> float:
    """Least logit(one's answer) − logit(other's), over the cities of the one."""
    found = logits(planted, rows_of(planted, relation, one))
    first, second = (planted.answer_id(relation, value) for value in (one, other))
    return float((found[:, first] - found[:, second]).min())
