"""What is true of a planted model, by brute force in plain PyTorch, without tracer's engine.

Hooks on the down projections set the planted neurons on all sentences of a relation at once. Claims
are made only where the logits show that the circuit does what it was planted for on every city.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
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

    def put(layer: int, hidden: Tensor) -> Tensor:
        hidden = hidden.clone()
        for setting in settings:
            for (at, index), value in zip(setting.places, setting.values, strict=True):
                if at == layer:
                    hidden[:, setting.pos, index] = value
        return hidden

    with torch.no_grad(), _hooked(planted, put):
        return planted.model(ids).logits[:, -1]


@contextmanager
def _hooked(planted: Planted, hook: Callable[[int, Tensor], Tensor]) -> Generator[None, None, None]:
    """Pass each layer's neurons through a hook, before the down projection."""
    with ExitStack() as stack:
        for layer in range(planted.plan.n_layers):
            down = planted.model.get_submodule(f"model.layers.{layer}.mlp.down_proj")
            handle = down.register_forward_pre_hook(
                lambda module, args, layer=layer: (hook(layer, args[0]),)
            )
            stack.callback(handle.remove)
        yield


def activations(
    planted: Planted,
    ids: Int[Tensor, "row pos"],
    places: Sequence[Place],
    pos: int,
    settings: Sequence[Setting] = (),
) -> Float[Tensor, "row n"]:
    """Activations of neurons at a position, with others set in earlier layers."""
    seen: dict[int, Tensor] = {}

    def keep(layer: int, hidden: Tensor) -> Tensor:
        seen[layer] = hidden[:, pos]
        return hidden

    with _hooked(planted, keep):
        logits(planted, ids, settings)
    return torch.stack([seen[layer][:, index] for layer, index in places], dim=1)


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

    def is_answered(value: int) -> bool:
        top = logits(planted, rows_of(planted, relation, value)).argmax(-1)
        return bool((top == planted.answer_id(relation, value)).all())

    return [value for value in range(N_VALUES) if is_answered(value)]


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
