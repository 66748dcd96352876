"""Whether a model's weights fit into memory at all, told from the sizes of files before a load.

Nothing here needs torch.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from tracer.engine.model.hf_folder import text_config
from tracer.errors import ModelUnavailable
from tracer.hypothesis.spec import ModelSpec

BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
"""Of one number of each dtype that a model can be loaded in."""
_GB = 10**9
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where a container says how much memory it has; `max`, or a huge number, for no limit."""


def main_memory() -> int | None:
    """Bytes that this machine, or the container, has in all; None where the system does not say."""
    found = [int(text) for path in _LIMITS if (text := _read(path)).isdecimal()]
    with suppress(ValueError, OSError, AttributeError):  # other systems have no such names
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


def loaded_bytes(config: dict[str, Any], n_file_bytes: int, dtype: str) -> int:
    """What weights of files of this size take in memory, in a dtype.

    Args:
        config: The model's `config.json`, which says what the files hold.
        n_file_bytes: Size of the files together.
        dtype: What they are loaded in; quantised weights stay as they are.
    """
    stored = config.get("dtype") or config.get("torch_dtype") or text_config(config).get("dtype")
    if "quantization_config" in config or stored not in BYTES:
        return n_file_bytes
    return n_file_bytes * BYTES[dtype] // BYTES[stored]


def require_room(spec: ModelSpec, n_bytes: int, memory: int | None, where: str) -> None:
    """Refuse a model whose weights are larger than all memory that there is.

    Args:
        spec: The model that is asked for.
        n_bytes: What its weights take, see `loaded_bytes`.
        memory: Bytes of the device; None where they are not known.
        where: The device.

    Raises:
        ModelUnavailable: They do not fit, whatever else is running.
    """
    if memory is None or n_bytes <= memory:
        return
    half = n_bytes * BYTES["bfloat16"] // BYTES[spec.dtype]
    smaller = f" `--dtype bfloat16` takes {half / _GB:.1f} GB." if half <= memory < n_bytes else ""
    raise ModelUnavailable(
        f"{spec.name}: its weights take {n_bytes / _GB:.1f} GB in {spec.dtype}, and {where} has "
        f"{memory / _GB:.1f} GB of memory in all.{smaller} Use a smaller model, or a machine with "
        "more memory."
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
