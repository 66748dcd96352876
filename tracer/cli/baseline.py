"""The baselines that `tracer run --baseline` holds runs against."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tracer.cli.matrix import Selected
from tracer.errors import UsageError
from tracer.evidence.baseline_run import Essentials, home, in_folder, read_baseline
from tracer.hypothesis.load import HypothesisFile

AUTO = Path("auto")


@dataclass(frozen=True)
class Baseline:
    """A baseline file, a folder of them, `auto` for the one beside each hypothesis, or none."""

    path: Path | None

    def check(self, selected: Sequence[Selected]) -> None:
        """Find out before anything is measured whether every baseline can be read.

        Raises:
            UsageError: One cannot, or one is meant for several hypotheses, models or bases.
        """
        if self.path is not None and len(selected) > 1:
            raise UsageError(
                "--baseline: a baseline is of one model and one feature basis; hold each "
                "combination to its own, in a folder of its own."
            )
        files = [file for each in selected for file in each.files]
        if self.path is not None and self._is_file and len(files) > 1:
            raise UsageError(
                f"--baseline {self.path}: one file for {len(files)} hypotheses; name a folder."
            )
        for file in files:
            self.of(file)

    def of(self, file: HypothesisFile) -> Essentials | None:
        """The blessed run of a hypothesis; None where a folder has none of it.

        Raises:
            UsageError: It cannot be read.
        """
        if self.path is None:
            return None
        if self._is_file:
            return read_baseline(self.path)
        folder = home(file.path) if self.path == AUTO else self.path
        path = in_folder(folder, file.hypothesis.hypothesis)
        return read_baseline(path) if os.path.isfile(path) else None

    @property
    def _is_file(self) -> bool:
        return self.path is not None and self.path != AUTO and not os.path.isdir(self.path)
