"""A model's name becomes its weights: a loaded Hugging Face model, its tokenizer and its record.

The source is first made a folder that can be loaded: converted, downloaded, or as it stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tracer.engine.model.converted import ensure
from tracer.engine.model.gguf import convert, quiet
from tracer.engine.model.hf_folder import check_folder, context_length, fingerprint, read_config
from tracer.engine.model.hf_load import load_model, load_tokenizer, require_usable
from tracer.engine.model.hub import MODEL_PATTERNS, TOKENIZER_PATTERNS, download
from tracer.engine.model.sources import FolderSource, HubSource, PackageSource, find_source
from tracer.engine.progress import Progress
from tracer.errors import ModelUnavailable, UsageError, show
from tracer.hypothesis.spec import ModelSpec
from tracer.record.record import ModelRecord


class ReadyModel(NamedTuple):
    """A folder to load from, and what identifies it."""

    folder: Path
    source: str
    revision: str | None
    fingerprint: str
    """SHA-256 of package or folder, commit on the hub."""


def ready_model(spec: ModelSpec, progress: Progress) -> ReadyModel:
    """The folder with the model's weights and tokenizer, every byte verified where we wrote it.

    Raises:
        ModelUnavailable: It cannot be had, with what to do about it.
    """
    source = find_source(spec)
    match source:
        case PackageSource():
            folder = _converted(source, progress)
            return ReadyModel(folder, source.place, None, source.package.sha256)
        case FolderSource(folder=folder):
            with progress.task(f"reading {folder}"):
                return ReadyModel(folder, source.place, None, fingerprint(folder))
        case HubSource():
            folder = download(source, MODEL_PATTERNS, progress)
            check_folder(folder)
            return ReadyModel(folder, source.place, folder.name, folder.name)


def ready_tokenizer(spec: ModelSpec, progress: Progress) -> Path:
    """A folder with config and tokenizer; a download leaves the weights out.

    Raises:
        ModelUnavailable: It cannot be had, with what to do about it.
    """
    source = find_source(spec)
    match source:
        case PackageSource():
            return _converted(source, progress, weights=False)
        case FolderSource(folder=folder):
            return folder
        case HubSource():
            folder = download(source, TOKENIZER_PATTERNS, progress)
            check_folder(folder, weights=False)
            return folder


def _converted(source: PackageSource, progress: Progress, *, weights: bool = True) -> Path:
    """The cached conversion; `weights=False` leaves the large files' hashes unread."""
    package = source.package

    def build(into: Path) -> None:
        progress.note(
            f"{source.model} is converted once, from {source.place}; this takes a minute."
        )
        convert(source.parts, package.sha256, into, progress)

    def hashed(name: str) -> bool:
        return weights or not name.endswith(".safetensors")

    return ensure(source.entry, build, package.converted_mb, progress, hashed)


@dataclass(frozen=True)
class Weights:
    """A model as Hugging Face gives it: evaluation mode, no gradients kept, eager attention."""

    hf_model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    record: ModelRecord
    bridge: Any = None
    """The `TransformerBridge` around it, where there is one already."""

    @property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end a text: those the generation settings name, and the tokenizer's own.

        Raises:
            ModelUnavailable: The settings name something else.
        """
        settings: Any = getattr(self.hf_model, "generation_config", None)
        named: Any = getattr(settings, "eos_token_id", None)
        own: Any = self.tokenizer.eos_token_id
        found = [
            n for n in (*(named if isinstance(named, list) else [named]), own) if n is not None
        ]
        if wrong := [n for n in found if type(n) is not int]:
            raise ModelUnavailable(
                f"{self.record.source}: eos_token_id is {show(wrong[0])}; allowed is the id of a "
                "token, or a list of them. Correct generation_config.json."
            )
        return frozenset(found)


class TokenizerOnly(NamedTuple):
    """What can be checked about a prompt without the weights."""

    tokenizer: PreTrainedTokenizerBase
    context: int | None
    """Tokens the model was built for; None where its config does not say."""


def open_weights(spec: ModelSpec, progress: Progress) -> Weights:
    """Load a model; the first time this may convert or download it.

    Raises:
        ModelUnavailable: It cannot be had or loaded here, with what to do about it.
        UsageError: The device is not there.
    """
    device = choose_device(spec.device)
    ready = ready_model(spec, progress)
    require_usable(ready.folder)
    tokenizer = _tokenizer(ready.folder, progress)
    with progress.task(f"loading {spec.name} on {device}"), quiet():
        hf_model = load_model(ready.folder, getattr(torch, spec.dtype), device)
    found = (ready.source, ready.revision, ready.fingerprint)
    return Weights(hf_model, tokenizer, record_of(spec, *found, hf_model))


def open_tokenizer(spec: ModelSpec, progress: Progress) -> TokenizerOnly:
    """Load a model's tokenizer alone; the first time this may convert or download.

    Raises:
        ModelUnavailable: It cannot be had, with what to do about it.
    """
    folder = ready_tokenizer(spec, progress)
    return TokenizerOnly(_tokenizer(folder, progress), context_length(read_config(folder)))


def _tokenizer(folder: Path, progress: Progress) -> PreTrainedTokenizerBase:
    with progress.task("loading the tokenizer"), quiet():
        return load_tokenizer(folder)


def choose_device(name: str) -> torch.device:
    """The device of this name; `auto` is the first CUDA device if there is one, else the CPU.

    MPS is taken only where it is asked for: it has no float64 and its sums differ from the CPU's.

    Raises:
        UsageError: No such device here.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(
            f"device {name!r} is not known; choose auto, cpu, cuda, cuda:N or mps."
        ) from None
    if device.type == "cpu":
        return torch.device("cpu")
    n_found = _count(device.type)
    if (device.index or 0) >= n_found:
        raise UsageError(
            f"device {name!r} is not here: {n_found} {device.type} device(s) found. "
            "`--device auto` takes what there is."
        )
    return torch.device(device.type, device.index or 0)


def _count(kind: str) -> int:
    if kind == "cuda":
        return torch.cuda.device_count()
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    raise UsageError(f"device {kind!r} is not supported; choose auto, cpu, cuda, cuda:N or mps.")


def record_of(
    spec: ModelSpec, source: str, revision: str | None, fingerprint: str, hf_model: Any
) -> ModelRecord:
    """What a run says of a loaded model; see `ReadyModel`."""
    config: Any = hf_model.config
    text = config.get_text_config()
    return ModelRecord(
        name=spec.name,
        source=source,
        revision=revision,
        fingerprint=fingerprint,
        architecture=type(hf_model).__name__,
        n_layers=text.num_hidden_layers,
        d_model=text.hidden_size,
        d_vocab=text.vocab_size,
        dtype=spec.dtype,
        device=str(hf_model.device),
    )
