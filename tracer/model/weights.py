"""The door to weights: a name becomes a loaded Hugging Face model, its tokenizer and its record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from tracer.errors import ModelUnavailable, UsageError
from tracer.hypothesis.spec import ModelSpec
from tracer.model.folder import ReadyModel, ready_model, ready_tokenizer
from tracer.model.hf_folder import context_length, read_config
from tracer.model.quiet import quiet
from tracer.progress import Progress
from tracer.record import ModelRecord

_AnyTokenizer: Any = AutoTokenizer
_AnyCausalModel: Any = AutoModelForCausalLM


@dataclass(frozen=True)
class Weights:
    """A model as Hugging Face gives it: evaluation mode, no gradients kept, eager attention."""

    hf_model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    record: ModelRecord


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
    _require_causal(ready.folder)
    tokenizer = _load_tokenizer(ready.folder, progress)
    with progress.task(f"loading {spec.name} on {device}"), quiet():
        hf_model = _load_model(ready.folder, getattr(torch, spec.dtype), device)
    return Weights(hf_model, tokenizer, _record(spec, ready, hf_model))


def open_tokenizer(spec: ModelSpec, progress: Progress) -> TokenizerOnly:
    """Load a model's tokenizer alone; the first time this may convert or download.

    Raises:
        ModelUnavailable: It cannot be had, with what to do about it.
    """
    folder = ready_tokenizer(spec, progress)
    return TokenizerOnly(_load_tokenizer(folder, progress), context_length(read_config(folder)))


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


def _require_causal(folder: Path) -> None:
    kind = read_config(folder)["model_type"]
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ModelUnavailable(
            f"{folder}: model type {kind!r} is no causal language model that the installed "
            "transformers knows; code that comes with a model is never run."
        )


def _load_tokenizer(folder: Path, progress: Progress) -> PreTrainedTokenizerBase:
    with progress.task("loading the tokenizer"), quiet():
        try:
            tokenizer = _AnyTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError) as error:
            raise ModelUnavailable(f"{folder}: the tokenizer cannot be read: {error}") from error
    if not tokenizer.is_fast:
        raise ModelUnavailable(
            f"{folder}: the tokenizer has no fast version (tokenizer.json), which spans need."
        )
    return tokenizer


def _load_model(folder: Path, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """Load and freeze.

    A tensor that the files lack would be filled with random numbers: that is refused.
    """
    try:
        hf_model, report = _AnyCausalModel.from_pretrained(
            folder,
            dtype=dtype,
            attn_implementation="eager",
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
        hf_model.to(device)
    except torch.OutOfMemoryError as error:
        raise ModelUnavailable(
            f"The model does not fit on {device}; try `--dtype bfloat16` or `--device cpu`."
        ) from error
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelUnavailable(f"{folder}: the weights cannot be loaded: {error}") from error
    if report["missing_keys"]:
        absent = ", ".join(sorted(report["missing_keys"])[:3])
        raise ModelUnavailable(
            f"{folder}: {len(report['missing_keys'])} tensors are missing from the weights "
            f"({absent}, …)."
        )
    return hf_model.eval().requires_grad_(False)


def _record(spec: ModelSpec, ready: ReadyModel, hf_model: PreTrainedModel) -> ModelRecord:
    config: Any = hf_model.config
    text = config.get_text_config()
    return ModelRecord(
        name=spec.name,
        source=ready.source,
        revision=ready.revision,
        fingerprint=ready.fingerprint,
        architecture=type(hf_model).__name__,
        n_layers=text.num_hidden_layers,
        d_model=text.hidden_size,
        d_vocab=text.vocab_size,
        dtype=spec.dtype,
        device=str(hf_model.device),
    )
