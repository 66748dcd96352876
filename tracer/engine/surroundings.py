"""What numbers depend on besides a model and a hypothesis: code, packages, processor, threads.

Nothing here needs torch.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tracer.record.record import Environment

_PACKAGES = ("torch", "transformers", "transformer-lens", "safetensors", "tokenizers", "numpy")
_VARIABLES = ("ATEN_", "DNNL_", "GOMP_", "KMP_", "MKL_", "OMP_", "ONEDNN_", "OPENBLAS_", "TORCH")
"""How the names begin of the variables that say how torch computes, and with how many threads."""
_CPU_INFO = Path("/proc/cpuinfo")
_GPU_DEVICES = ("nvidia*", "kfd", "dxg")
"""Under `/dev` on Linux: those of NVIDIA, of AMD, and of Windows below Linux."""
SPREAD = "balanced"
"""The device that stands for all CUDA devices, the layers spread over them."""


def environment(threads: int) -> Environment:
    """This process's environment; `threads` are those that torch computes with."""
    return Environment(
        tracer=_version("tracer-circuits"),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages={name: _version(name) for name in _PACKAGES},
        threads=threads,
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def code_hash(package: Path, rooms: tuple[str, ...]) -> str:
    """SHA-256 over the sources of some rooms of this package: their names and bytes."""
    total = hashlib.sha256()
    for path in sorted(p for room in rooms for p in (package / room).rglob("*.py")):
        total.update(f"{path.relative_to(package).as_posix()}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


@cache
def own_code(rooms: tuple[str, ...]) -> str:
    """`code_hash` of this package, read once a process."""
    return code_hash(Path(__file__).parents[1], rooms)


def surroundings() -> list[Any]:
    """All of a process that a measurement on the CPU depends on, as a JSON value.

    How many threads torch starts with follows from variables, processor and package; once it is
    loaded, a program may have set another number.
    """
    torch: Any = sys.modules.get("torch")
    return [
        platform.python_version(),
        platform.platform(),
        _processor(),
        sorted((name, value) for name, value in os.environ.items() if name.startswith(_VARIABLES)),
        _installed(),
        None if torch is None else torch.get_num_threads(),
    ]


def may_have_gpu() -> bool:
    """Whether torch might find one that it takes by itself; False is certain."""
    if sys.platform == "linux":
        return any(True for name in _GPU_DEVICES for _ in Path("/dev").glob(name))
    return sys.platform != "darwin"


def takes_gpu(device: str) -> bool:
    """Whether a device of this name is a GPU, as far as is known without torch.

    `auto` is taken for one where there may be one, unless torch is built for the CPU alone.
    """
    if device == "auto":
        return may_have_gpu() and not _version("torch").endswith("+cpu")
    return device.startswith(("cuda", SPREAD))


def is_emulated(dtype: str, device: str) -> bool:
    """Whether the processor has no instructions for a type of number; where unknown, False."""
    flags = _HALF.get(dtype)
    if flags is None or takes_gpu(device) or not device.startswith(("cpu", "auto")):
        return False
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except (OSError, ValueError):
        return False
    told = [line.partition(":")[2].split() for line in lines if line.startswith(_FLAGS)]
    return bool(told) and flags.isdisjoint(*told)


def slow_type(dtype: str) -> str:
    """What to say before a run in a type that is emulated."""
    return (
        f"this processor has no instructions for {dtype}: a run can take hundreds of times as "
        "long as in float32, which takes twice the memory"
    )


_HALF = {
    "bfloat16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}),
    "float16": frozenset({"avx512_fp16", "amx_fp16", "asimdhp"}),
}
"""Flags of processors that compute in a type, as Linux names them."""
_FLAGS = ("flags", "Features")


def _processor() -> list[Any]:
    """Its kind and features, how many there are, and which of them this process may use."""
    try:
        first = _CPU_INFO.read_text(encoding="utf-8").split("\n\n")[0].splitlines()
        of_kind = ("model name", "flags", "Features", "siblings", "cpu cores")
        about = [line for line in first if line.startswith(of_kind)]
    except (OSError, ValueError):
        about = [platform.processor()]
    usable = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else None
    return [about, os.cpu_count(), usable]


def _installed() -> list[str]:
    """Names and versions of all installed packages, as their metadata folders are called."""
    found: set[str] = set()
    for folder in map(Path, sys.path):
        if folder.is_dir():
            found |= {each.name for each in folder.iterdir() if each.name.endswith(_METADATA)}
    return sorted(found)


_METADATA = (".dist-info", ".egg-info")
