"""Layers by number: files called `layer_0…`, `layer_1…`, of which none may be missing."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeVar

from tracer.errors import UsageError

_SHOWN = 5

T = TypeVar("T")


def numbered_files(folder: Path, prefix: str) -> list[Path]:
    """`prefix` N `.safetensors` for every N from 0 to the highest there is.

    Raises:
        UsageError: There is none, or some are missing in between.
    """
    pattern = re.compile(re.escape(prefix) + r"(0|[1-9][0-9]{0,3})\.safetensors")
    names = [path.name for path in folder.iterdir()]
    found = {int(match[1]) for name in names if (match := pattern.fullmatch(name))}
    if not found:
        raise UsageError(f"{folder}: no {prefix}0.safetensors, …: the weights are missing.")
    require_all(folder, found)
    return [folder / f"{prefix}{layer}.safetensors" for layer in sorted(found)]


def in_order(folder: Path, layers: Mapping[int, T]) -> tuple[T, ...]:
    """Layers from 0 on.

    Raises:
        UsageError: Some are missing in between.
    """
    require_all(folder, layers)
    return tuple(layers[layer] for layer in sorted(layers))


def require_all(folder: Path, found: Collection[int]) -> None:
    """Refuse a gap.

    Raises:
        UsageError: With the layers that are missing.
    """
    missing = [layer for layer in range(max(found)) if layer not in found]
    if missing:
        shown = ", ".join(map(str, missing[:_SHOWN]))
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise UsageError(
            f"{folder}: layers 0 to {max(found)} are needed, but {shown}{more} "
            f"{'is' if len(missing) == 1 else 'are'} missing."
        )
