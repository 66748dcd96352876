"""A model that a program holds already: its weights as they lie in memory, not copied, not loaded.

A Hugging Face model is wrapped by a second set of modules on the same tensors, so that wrapping
changes nothing of it. A `TransformerBridge` is used as it is.

What is measured is recorded with a hash of these tensors. It is taken when it is needed, every time
anew, because a program may change weights that it holds.
"""

from __future__ import annotations

import copy
import hashlib
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tracer.engine.model.model import Model
from tracer.engine.model.placement import devices, named_tensors
from tracer.engine.model.weights import Weights, record_of
from tracer.errors import UsageError, listed, shorten
from tracer.hypothesis.spec import ModelSpec

IN_MEMORY = "in memory"
"""The source of its weights, in a record."""
_NAMED = 3
_NOT_OF_THE_MODEL = ("_name_or_path", "transformers_version", "dtype")
"""Keys of a config that say where it came from, not what it computes."""


def held_weights(held: object, tokenizer: object = None, name: str | None = None) -> Weights:
    """The weights of a model that is in memory, with a record that has no hash of them yet.

    Args:
        held: A Hugging Face causal model or a `TransformerBridge`.
        tokenizer: A fast one; that of a bridge is known.
        name: What records call the model; by default what it was loaded from.

    Raises:
        UsageError: It is something else, its tokenizer is missing, or it does not compute what its
            weights say: hooks are left on it, it is in training mode, or its weights were folded.
    """
    match held:
        case TransformerBridge():
            bridge, hf_model = held, held.original_model
            tokenizer = held.tokenizer if tokenizer is None else tokenizer
        case PreTrainedModel():
            hooked = [name for name, each in held.named_modules() if _has_hooks(each)]
            _refuse_hooks(hooked, "call remove() of each handle")
            bridge, hf_model = None, _on_the_same_tensors(held)
        case _:
            raise UsageError(
                f"model is {_type_name(held)}; a name, a Hugging Face model or a TransformerBridge "
                "is expected."
            )
    spec = _spec(hf_model, name)
    weights = Weights(
        hf_model,  # pyright: ignore[reportArgumentType] # a bridge types its model as any module
        _usable(tokenizer),
        record_of(spec, IN_MEMORY, None, "", hf_model),
        bridge,
    )
    require_as_it_is(weights)
    return weights


def require_as_it_is(weights: Weights) -> None:
    """Refuse a bridge that computes something else than its weights say, before each use.

    Raises:
        UsageError: Hooks are left on it, it is in training mode, or its weights were folded.
    """
    bridge: Any = weights.bridge
    if bridge is None:
        return
    hooked = [name for name, point in bridge.hook_dict.items() if point.fwd_hooks]
    _refuse_hooks(hooked, "call model.reset_hooks(including_permanent=True)")
    if bridge.compatibility_mode or getattr(bridge, "_weights_processed", False):
        raise UsageError(
            "the model's weights were folded by enable_compatibility_mode or process_weights, so "
            "its norms are not where its hooks say. Boot another bridge without it."
        )
    if bridge.original_model.training:
        raise UsageError("the model is in training mode; call model.eval() first.")
    attention = bridge.original_model.config._attn_implementation  # noqa: SLF001
    if attention != "eager":
        raise UsageError(
            f"the model's attention is {attention!r}, which computes no patterns that could be "
            "held; boot it with attn_implementation 'eager'."
        )


def hashed(model: Model, weights: Weights) -> Model:
    """The same model with the hash of its weights as they are now: about a second a gigabyte."""
    now = copy.copy(model)
    now.record = model.record.model_copy(update={"fingerprint": weights_hash(weights)})
    return now


def weights_hash(weights: Weights) -> str:
    """SHA-256 of config, tokenizer, and every parameter and buffer: name, dtype, shape, bytes."""
    total = hashlib.sha256()
    config: Any = copy.deepcopy(weights.hf_model.config)
    for key in _NOT_OF_THE_MODEL:
        if hasattr(config, key):
            setattr(config, key, None)
    backend = weights.tokenizer.backend_tokenizer  # only fast ones get here
    for text in (config.to_json_string(use_diff=False), backend.to_str()):
        total.update(f"{text}\0".encode())
    for name, tensor in named_tensors(weights.hf_model):
        total.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        total.update(memoryview(_bytes_of(tensor)))
    return total.hexdigest()


def _bytes_of(tensor: Tensor) -> Any:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


def _on_the_same_tensors(held: PreTrainedModel) -> PreTrainedModel:
    """A copy of the modules, their parameters and buffers shared, in evaluation mode."""
    shared = {id(tensor): tensor for tensor in chain(held.parameters(), held.buffers())}
    return copy.deepcopy(held, shared).eval()


def _spec(hf_model: Any, name: str | None) -> ModelSpec:
    """How a hypothesis would name it.

    Raises:
        UsageError: It lies on several devices without a device map, or computes in no floats.
    """
    held_on = devices(hf_model)
    if len(held_on) != 1 and getattr(hf_model, "hf_device_map", None) is None:
        raise UsageError(
            f"the model lies on {listed(held_on)}, and nothing moves what goes from one to the "
            "other; load it with device_map."
        )
    dtype = str(hf_model.dtype).removeprefix("torch.")
    if dtype not in ("float32", "bfloat16", "float16", "float64"):
        raise UsageError(f"the model's weights are {dtype}; floating-point ones are expected.")
    own = name or getattr(hf_model.config, "_name_or_path", "") or type(hf_model).__name__
    return ModelSpec(name=own, device=", ".join(held_on), dtype=dtype)


def _usable(tokenizer: object) -> PreTrainedTokenizerBase:
    if tokenizer is None:
        raise UsageError("a Hugging Face model needs its tokenizer: Session(model, tokenizer=…).")
    if not isinstance(tokenizer, PreTrainedTokenizerBase) or not tokenizer.is_fast:
        raise UsageError(
            f"tokenizer is {_type_name(tokenizer)}; a fast Hugging Face one is expected, which "
            "knows the characters of each token."
        )
    return tokenizer


def _type_name(value: object) -> str:
    return f"{shorten(repr(value), 60)} ({type(value).__name__})"


def _has_hooks(module: Any) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)  # noqa: SLF001


def _refuse_hooks(names: list[str], how: str) -> None:
    if names:
        told = ", ".join(names[:_NAMED]) + ", …" * (len(names) > _NAMED)
        raise UsageError(
            f"hooks are left on the model, at {told}: what they do would be in every number and in "
            f"no record. Remove them first: {how}."
        )
