"""What each of several processes on one machine has of it: GPUs of its own, and some of the cores.

Both are environment variables, which torch reads once, when it is imported.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping

GPUS, THREADS = "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"
_PATIENCE = 30
"""Seconds that the driver has to list its GPUs."""


def shares(
    n: int, devices: Iterable[str], environment: Mapping[str, str] = os.environ
) -> list[dict[str, str]]:
    """The variables of each of n processes.

    GPUs are dealt out, as many to each as there are for all; where there are fewer than processes,
    several have the same. Each computes with its share of the cores, unless the number of threads
    is set already.

    Args:
        n: How many there are.
        devices: Of the models, as hypotheses name them. Where one is a GPU by its number
            (`cuda:1`), every process sees all GPUs, under the numbers they have.
        environment: Of this process.
    """
    is_numbered = any(":" in device for device in devices)
    gpus = [] if is_numbered else _gpus(environment)
    threads = {} if THREADS in environment else {THREADS: str(max(1, n_cores() // n))}
    return [threads | _dealt(gpus, slot, n) for slot in range(n)]


def n_cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _dealt(gpus: list[str], slot: int, n: int) -> dict[str, str]:
    if not gpus:
        return {}
    each = len(gpus) // n
    own = gpus[slot * each : (slot + 1) * each] or [gpus[slot % len(gpus)]]
    return {GPUS: ",".join(own)}


def _gpus(environment: Mapping[str, str]) -> list[str]:
    """Names of the GPUs that CUDA may use here, as `CUDA_VISIBLE_DEVICES` takes them."""
    if GPUS in environment:
        return [name.strip() for name in environment[GPUS].split(",") if name.strip()]
    asked = shutil.which("nvidia-smi")
    if asked is None:
        return []
    command = [asked, "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        told = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_PATIENCE
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in told.stdout.splitlines() if line.startswith("GPU-")]
