"""Where a run was made: versions and hardware, without any path or user name."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from tracer.record import Environment

_PACKAGES = ("torch", "transformers", "transformer-lens", "safetensors", "tokenizers", "numpy")


def environment() -> Environment:
    """This process's environment."""
    return Environment(
        tracer=_version("tracer-circuits"),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages={name: _version(name) for name in _PACKAGES},
        threads=torch.get_num_threads(),
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
