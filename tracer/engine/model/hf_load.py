"""Load tokenizer and weights from a folder in Hugging Face's format; foreign files, so guarded.

A config that does not fit the weights is refused: transformers would fill what is missing with
random numbers, and leave out what has no place.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import safe_open
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging

from tracer.engine.model.foreign import guarded
from tracer.engine.model.hf_folder import read_config, require_json, weight_files
from tracer.errors import ModelUnavailable

Shape = tuple[int, ...]
_TOKENIZER_JSON = (
    "tokenizer_config.json",
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
)
_BUFFERS = re.compile(r"(masked_bias|attn\.bias|attention\.bias|rotary_emb\.inv_freq)$")
"""Constants that older versions of transformers kept among the weights."""
_ROOM = 1.5
"""A model with this many times the numbers of its files is not allocated: most are missing."""
_NAMED = 3
_FLOATS = ("F64", "F32", "F16", "BF16")
"""Types of weights, as safetensors spells them."""
_AnyConfig: Any = AutoConfig
AnyTokenizer: Any = AutoTokenizer
AnyCausalModel: Any = AutoModelForCausalLM
"""Without transformers' own types, which do not cover what `from_pretrained` takes."""


@contextmanager
def quiet() -> Generator[None, None, None]:
    """Keep transformers from drawing bars and from logging anything below an error."""
    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def require_usable(folder: Path) -> None:
    """Refuse a config of no causal language model, or one that transformers cannot make a model of.

    Raises:
        ModelUnavailable: With the file and the reason.
    """
    kind = read_config(folder)["model_type"]
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ModelUnavailable(
            f"{folder}: model type {kind!r} is no causal language model that the installed "
            "transformers knows; code that comes with a model is never run."
        )
    require_json(folder, ("generation_config.json",))  # transformers passes over an unsound one
    if not _says_quantised(folder):
        _check_sizes(_planned(folder), _stored(folder), folder)


def _says_quantised(folder: Path) -> bool:
    """Whether weights may have other shapes and types than the model, by the rules of a library."""
    return "quantization_config" in read_config(folder)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The folder's tokenizer, which was tried on a text.

    Raises:
        ModelUnavailable: It cannot be read or used, or knows no characters of its tokens.
    """
    what = f"{folder}: the tokenizer cannot be read from its files, tokenizer.json and others"
    with guarded(what, _ADVICE, partial(_blame, folder)):
        tokenizer = AnyTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    if not tokenizer.is_fast:
        raise ModelUnavailable(
            f"{folder}: the tokenizer has no fast version (tokenizer.json), which spans need."
        )
    with guarded(f"{folder / 'tokenizer.json'}: it cannot encode a text", _ADVICE):
        tokenizer("a text.", return_offsets_mapping=True)
    return tokenizer


def load_model(folder: Path, dtype: torch.dtype, device: torch.device | None) -> PreTrainedModel:
    """Load and freeze a model whose `require_usable` passed.

    Args:
        folder: Where it is.
        dtype: What it computes in; quantised weights stay packed.
        device: Where it goes; None: its layers are spread over all CUDA devices.

    Raises:
        ModelUnavailable: The weights cannot be read, do not fit the config, or not into memory.
    """
    what = f"{folder}: the weights cannot be loaded"
    with guarded(what, _ADVICE, partial(_config, folder)):
        try:
            hf_model, report = AnyCausalModel.from_pretrained(
                folder,
                dtype=dtype,
                attn_implementation="eager",
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **_placed(folder, device),
            )
            if device is not None and hf_model.device != device:
                hf_model.to(device)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise ModelUnavailable(
                f"The model does not fit on {device or 'the CUDA devices'}; try `--dtype bfloat16`"
                " or `--device cpu`."
            ) from error
    _check_report(folder, report)
    if _says_quantised(folder) and not getattr(hf_model, "is_quantized", False):
        _stored(folder)  # transformers passes over a method that it does not know
    return hf_model.eval().requires_grad_(False)


_ADVICE = (
    f"Save the model again, or update transformers ({transformers.__version__}) where the model is "
    "newer than it."
)


def _placed(folder: Path, device: torch.device | None) -> dict[str, Any]:
    """Where weights are put while they are loaded: packed ones cannot be moved afterwards."""
    if device is None:
        return {"device_map": "balanced"}
    return {"device_map": {"": device}} if _says_quantised(folder) else {}


def _blame(folder: Path) -> None:
    """Name the tokenizer's file that is no JSON object, or the config, where it is one of them."""
    require_json(folder, _TOKENIZER_JSON)
    _config(folder)


def _config(folder: Path) -> Any:
    with guarded(f"{folder / 'config.json'}: transformers cannot use this config", _ADVICE):
        return _AnyConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _planned(folder: Path) -> dict[str, Shape]:
    """The shape of every parameter that the config asks for, by name, tied ones once."""
    config = _config(folder)
    what = f"{folder / 'config.json'}: transformers cannot make a model of this config"
    with guarded(what, _ADVICE), torch.device("meta"):
        model = AnyCausalModel.from_config(config, attn_implementation="eager")
    return {name: tuple(each.shape) for name, each in model.named_parameters()}


def _stored(folder: Path) -> dict[str, Shape]:
    """The shape of every tensor in the weight files, by name; only their headers are read."""
    found: dict[str, Shape] = {}
    for path in weight_files(folder):
        with (
            guarded(f"{path}: the weights cannot be loaded", _ADVICE),
            safe_open(path, "pt") as file,
        ):
            for key in file.keys():  # noqa: SIM118 - not a mapping
                tensor = file.get_slice(key)
                _require_dense(path, key, tensor.get_dtype())
                found[key] = tuple(tensor.get_shape())
    return found


def _require_dense(path: Path, key: str, dtype: str) -> None:
    """Refuse numbers that mean something only with the scales of a quantisation."""
    if key.endswith(".weight") and dtype not in _FLOATS:
        raise ModelUnavailable(
            f"{path}: {key} is {dtype}; allowed are {', '.join(_FLOATS)}. The weights are "
            "quantised, and config.json has no quantization_config that says how."
        )


def _check_sizes(planned: Mapping[str, Shape], stored: Mapping[str, Shape], folder: Path) -> None:
    """Refuse a model that is far larger than its files before memory is taken for it."""
    wanted, there = (sum(map(prod, each.values())) for each in (planned, stored))
    if wanted > _ROOM * there:
        both = planned.keys() & stored.keys()
        _refuse_other_shapes(folder, [(key, stored[key], planned[key]) for key in both])
        raise ModelUnavailable(
            f"{folder / 'config.json'}: it asks for {wanted:,} parameters, and the weights hold "
            f"{there:,} ({_some(sorted(planned.keys() - both))} are missing). Correct the config, "
            "or get all weights."
        )


def _refuse_other_shapes(folder: Path, found: Iterable[tuple[str, Shape, Shape]]) -> None:
    """Of tensors as they are stored and as they are planned."""
    wrong = sorted(each for each in found if each[1] != each[2])
    if wrong:
        told = [f"{key} is {_times(a)} and should be {_times(b)}" for key, a, b in wrong[:_NAMED]]
        raise ModelUnavailable(
            f"{folder}: {_tensors(wrong)} of another shape in the weights than config.json asks "
            f"for ({'; '.join(told)}{'; …' * (len(wrong) > _NAMED)}). Correct the config."
        )


def _check_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Refuse a model that is not the one of the files, from the report of loading it."""
    _refuse_other_shapes(folder, [(k, tuple(a), tuple(b)) for k, a, b in report["mismatched_keys"]])
    if missing := sorted(report["missing_keys"]):
        raise ModelUnavailable(
            f"{folder}: {_tensors(missing)} missing from the weights ({_some(missing)})."
        )
    if unused := sorted(key for key in report["unexpected_keys"] if not _BUFFERS.search(key)):
        raise ModelUnavailable(
            f"{folder}: {_tensors(unused)} in the weights for which the model of config.json has "
            f"no place ({_some(unused)}). Correct the config, num_hidden_layers first, or take "
            "out what is too much."
        )


def _tensors(found: Sequence[object]) -> str:
    return "1 tensor is" if len(found) == 1 else f"{len(found)} tensors are"


def _some(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + ", …" * (len(names) > _NAMED)


def _times(shape: Shape) -> str:
    return " × ".join(map(str, shape)) or "a single number"
