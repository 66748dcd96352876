"""What stays open while one file is measured: the model, its features, and kept numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tracer import runs
from tracer.environment import environment
from tracer.hypothesis.load import HypothesisFile
from tracer.lock import Lock, check_held_out, reusable
from tracer.measure import Bench
from tracer.measurement_store import Store
from tracer.opened import Opened
from tracer.progress import Progress
from tracer.resolve import check_features, open_bench
from tracer.row_cache import RowCache, identity
from tracer.step_cache import StepCache
from tracer.tokens import tokenize


@dataclass(frozen=True)
class Session:
    """A model with its features, on which a hypothesis and its variations are measured."""

    opened: Opened
    lock: Lock | None
    """Supernodes to take as they are; None: find them."""
    store: Store | None
    progress: Progress

    def check(self, file: HypothesisFile) -> None:
        """Find what the model or its features do not have, before anything is run.

        Raises:
            HypothesisError: A token, span, feature id or layer that this model does not have.
        """
        model, features = self.opened
        tokenize(file, model.tokenizer, model.context)
        check_features(file, features.basis)

    def bench(self, file: HypothesisFile, lock: Lock | None, known: Bench | None = None) -> Bench:
        """Tokenize the prompts, run them clean, and resolve the supernodes.

        Args:
            file: The hypothesis.
            lock: Supernodes to take as they are; None: find them.
            known: Of which is taken what would come out the same.

        Raises:
            HypothesisError: A token, span, feature id or layer that this model does not have.
            EngineError: Logits that are not finite, or a rule that finds nothing.
        """
        model, features = self.opened
        prompts = tokenize(file, model.tokenizer, model.context)
        bench = open_bench(file, model, features.basis, prompts, lock, self.progress, known)
        if self.store is None:
            return bench
        of = identity(model.record, features, environment())
        return replace(
            bench, row_cache=RowCache(self.store, of), step_cache=StepCache(self.store, of)
        )


def locked(file: HypothesisFile, opened: Opened, run: Path | None) -> Lock | None:
    """The supernodes of an older run; None without one.

    Raises:
        UsageError: They do not fit.
    """
    if run is None:
        return None
    older, names = runs.read_record(run), set(file.hypothesis.supernodes)
    check_held_out(older, file.hypothesis)
    return reusable(older, names, opened.basis.name, opened.model.record.fingerprint)
