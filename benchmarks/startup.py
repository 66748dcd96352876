"""What commands take before they do anything: processor time, and the imports behind it.

    python benchmarks/startup.py

Each command is a process of its own; medians of user and system time. The tree shows packages by
the time that importing them took, with all that they import, from one run under `-X importtime`.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys

COMMANDS = (
    ("--help",),
    ("list",),
    ("show",),
    ("validate", "hypotheses/two_hop.yaml"),
    ("run", "--help"),
)
ROUNDS = 5
LEAST_MS = 25
"""Imports that take less are left out of the tree."""
_IMPORT = re.compile(r"import time:\s+\d+ \|\s+(\d+) \| ( *)(\S+)")


def processor_seconds(arguments: tuple[str, ...]) -> float:
    """User and system time of one command."""
    before = os.times()
    subprocess.run([sys.executable, "-m", "tracer", *arguments], capture_output=True, check=False)
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


def import_tree(arguments: tuple[str, ...]) -> list[str]:
    """Lines of the slow imports of a command, those that are imported below their importer."""
    command = [sys.executable, "-X", "importtime", "-m", "tracer", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [_IMPORT.match(line) for line in done.stderr.splitlines()]
    slow = [m for m in found if m is not None and int(m[1]) >= 1000 * LEAST_MS]
    return [f"  {int(m[1]) / 1000:6.0f} ms {m[2]}{m[3]}" for m in reversed(slow)]


def main() -> None:
    """Tell the time of each command, then its tree."""
    for arguments in COMMANDS:
        seconds = statistics.median(processor_seconds(arguments) for _ in range(ROUNDS))
        print(f"tracer {' '.join(arguments)}: {seconds:.2f} s of processor time")
        print("\n".join(import_tree(arguments)))


if __name__ == "__main__":
    main()
