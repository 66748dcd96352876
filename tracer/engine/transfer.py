"""Many tensors moved between host and device at once, as host and device wait at each move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

Key = TypeVar("Key")


def moved(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """The same tensors on a device, with one copy for each type of number.

    What is there already is given back as it is. Of what is moved, all of a type share memory.
    """
    found = list(tensors)
    away = [n for n, each in enumerate(found) if each.device != device]
    for dtype in {found[n].dtype for n in away}:
        mine = [n for n in away if found[n].dtype == dtype]
        together = torch.cat([found[n].reshape(-1) for n in mine]).to(device)
        parts = together.split([found[n].numel() for n in mine])
        for n, part in zip(mine, parts, strict=True):
            found[n] = part.view(found[n].shape)
    return found


def on_cpu(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The same tensors on the CPU; see `moved`."""
    return moved(tensors, torch.device("cpu"))


def by_key_on_cpu(tensors: Mapping[Key, Tensor]) -> dict[Key, Tensor]:
    """The same by their keys."""
    return dict(zip(tensors, on_cpu([*tensors.values()]), strict=True))
