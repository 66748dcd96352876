"""What stays open while files are measured: the model, its features, and the cache.

Of the line load → open → resolve → measure → write this is *open*.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch

from tracer.engine.cache import MeasurementCache, identity
from tracer.engine.feature_index.entries import IndexSubject
from tracer.engine.feature_index.index import FeatureIndex, find_index
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.heads import beside_heads
from tracer.engine.features.open import OpenBasis, open_basis
from tracer.engine.memory import free_memory
from tracer.engine.model.model import Model
from tracer.engine.model.weights import open_weights
from tracer.engine.progress import Progress
from tracer.engine.resolve import MeasurementContext, check_features, open_context
from tracer.engine.store import Store
from tracer.engine.surroundings import environment
from tracer.hypothesis.load import HypothesisFile
from tracer.hypothesis.spec import ModelSpec
from tracer.hypothesis.tokens import tokenize
from tracer.record import run_folder
from tracer.record.lock import Lock, check_held_out, reusable, told_foreign


class Opened(NamedTuple):
    """Both, loaded."""

    model: Model
    features: OpenBasis

    @property
    def basis(self) -> FeatureBasis:
        """The features, without where they come from."""
        return self.features.basis


def open_both(spec: ModelSpec, features: str, progress: Progress) -> Opened:
    """Load a model, then its features; the first time this may download or convert them.

    What a model that was let go of took of a GPU is given back before.

    Raises:
        ModelUnavailable: One cannot be had here.
        UsageError: No such device or features, or features of another model.
    """
    if torch.cuda.is_available():
        free_memory()
    weights = open_weights(spec, progress)
    with progress.task("wrapping the model"):
        model = Model(weights)
    return Opened(model, open_basis(features, model, progress))


def subject_of(opened: Opened) -> IndexSubject:
    """What an index of this model and basis is found under."""
    return IndexSubject(opened.model.record.fingerprint, opened.features.fingerprint)


@dataclass(frozen=True)
class MeasurementSession:
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
        basis = beside_heads(features.basis, model, wanted=file.hypothesis.uses_heads)
        check_features(file, basis)

    def context(
        self, file: HypothesisFile, lock: Lock | None, known: MeasurementContext | None = None
    ) -> MeasurementContext:
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
        cache = None
        if self.store is not None:
            of = identity(model.record, features, environment(torch.get_num_threads()))
            cache = MeasurementCache(self.store, of)
        found = open_context(
            file, model, features.basis, prompts, lock, self.progress, cache, known
        )
        # Only graphs describe features.
        return found if file.hypothesis.graph is None else replace(found, index=self._index)

    @cached_property
    def _index(self) -> FeatureIndex | None:
        """Read once for the hypothesis and all its variations."""
        return find_index(subject_of(self.opened))


def locked(file: HypothesisFile, opened: Opened, run: Path | None) -> Lock | None:
    """The supernodes of an older run; None without one.

    Raises:
        UsageError: They do not fit.
    """
    if run is None:
        return None
    older, names = run_folder.read_record(run), set(file.hypothesis.supernodes)
    check_held_out(older, file.hypothesis)
    lock = reusable(older, names, opened.basis.name, opened.model.record.fingerprint)
    return told_foreign(lock, older, file.hypothesis)
