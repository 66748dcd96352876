"""A model's name becomes its weights: a loaded Hugging Face model, its tokenizer and its record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from tracer.engine.model.hf_load import load_model, quiet, require_usable
from tracer.engine.model.placement import devices
from tracer.engine.model.ready import Memory, ready_model
from tracer.engine.model.room import main_memory
from tracer.engine.model.tokenizer import read_tokenizer
from tracer.engine.progress import Progress
from tracer.engine.surroundings import SPREAD, is_emulated, slow_type
from tracer.errors import ModelUnavailable, UsageError, show
from tracer.hypothesis.spec import ModelSpec
from tracer.record.record import ModelRecord


@dataclass(frozen=True)
class Weights:
    """A model as Hugging Face gives it: evaluation mode, no gradients kept, eager attention."""

    hf_model: PreTrainedModel
    tokenizer: Any
    """A `tracer.hypothesis.vocabulary.Tokenizer` that also knows its `eos_token_id` and
    `all_special_ids`."""
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


def open_weights(spec: ModelSpec, progress: Progress) -> Weights:
    """Load a model; the first time this may convert or download it.

    Raises:
        ModelUnavailable: It cannot be had or loaded here, with what to do about it.
        UsageError: The device is not there.
    """
    device = None if spec.device == SPREAD else choose_device(spec.device)
    if device is not None and device.type == "cpu" and is_emulated(spec.dtype, "cpu"):
        progress.note(slow_type(spec.dtype))
    ready = ready_model(spec, memory_of(device), progress)
    require_usable(ready.folder)
    with progress.task("loading the tokenizer"):
        tokenizer = read_tokenizer(spec, ready.folder)
    with progress.task(f"loading {spec.name} on {device or 'all CUDA devices'}"), quiet():
        hf_model = load_model(ready.folder, getattr(torch, spec.dtype), device)
    found = (ready.source, ready.revision, ready.fingerprint)
    return Weights(hf_model, tokenizer, record_of(spec, *found, hf_model))


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
            f"device {name!r} is not known; choose auto, cpu, cuda, cuda:N, balanced or mps."
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


def memory_of(device: torch.device | None) -> Memory:
    """All the memory of a device; None: of all CUDA devices together.

    Raises:
        UsageError: There is no CUDA device.
    """
    if device is None:
        if not (n_found := _count("cuda")):
            raise UsageError(f"device {SPREAD!r} needs CUDA devices, and none is here.")
        total = sum(torch.cuda.mem_get_info(number)[1] for number in range(n_found))
        return Memory(f"{n_found} CUDA device(s)", total)
    is_cuda = device.type == "cuda"
    return Memory(str(device), torch.cuda.mem_get_info(device)[1] if is_cuda else main_memory())


def _count(kind: str) -> int:
    if kind == "cuda":
        return torch.cuda.device_count()
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    raise UsageError(
        f"device {kind!r} is not supported; choose auto, cpu, cuda, cuda:N, balanced or mps."
    )


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
        device=", ".join(devices(hf_model)),
    )
