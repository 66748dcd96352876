"""Small random dictionaries, written in the shapes in which they are published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

N_FEATURES, D_MODEL, N_LAYERS = 24, 32, 2
CONFIG = {
    "model_name": "tiny",
    "model_kind": "transcoder_set",
    "feature_input_hook": "mlp.hook_in",
    "feature_output_hook": "hook_mlp_out",
}
CLT_CONFIG = CONFIG | {"model_kind": "cross_layer_transcoder"}
HUB_HOOKS = ("pre_feedforward_layernorm.output", "post_feedforward_layernorm.output")


def random(*shape: int, seed: int) -> Tensor:
    """The same numbers for the same seed and shape."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def transcoder(layer: int) -> dict[str, Tensor]:
    """Encoder by features, decoder and biases of a layer's transcoder."""
    return {
        "W_enc": random(N_FEATURES, D_MODEL, seed=10 * layer),
        "W_dec": random(N_FEATURES, D_MODEL, seed=10 * layer + 1),
        "b_enc": random(N_FEATURES, seed=10 * layer + 2),
        "b_dec": random(D_MODEL, seed=10 * layer + 3),
    }


def threshold(layer: int) -> Tensor:
    """Above 0, so that it shows."""
    return 2 + random(N_FEATURES, seed=10 * layer + 4).abs()


def skip(layer: int) -> Tensor:
    """A skip matrix, not symmetric."""
    return random(D_MODEL, D_MODEL, seed=10 * layer + 5)


def write_config(folder: Path, data: Mapping[str, Any]) -> Path:
    """`config.yaml` (JSON is YAML); gives the folder back."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(json.dumps(data))
    return folder


def write_transcoders(
    folder: Path,
    *,
    config: Mapping[str, Any] = CONFIG,
    more: Mapping[str, Any] | None = None,
    n_layers: int = N_LAYERS,
) -> Path:
    """circuit-tracer's format; `more` adds functions of the layer that give further tensors."""
    write_config(folder, config)
    for layer in range(n_layers):
        extra = {key: give(layer) for key, give in (more or {}).items()}
        save_file(transcoder(layer) | extra, folder / f"layer_{layer}.safetensors")
    return folder


def write_npz(path: Path, layer: int) -> Path:
    """Gemma Scope's `params.npz`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = transcoder(layer) | {"threshold": threshold(layer)}
    tensors["W_enc"] = tensors["W_enc"].T.contiguous()
    np.savez(path, **{key: tensor.numpy() for key, tensor in tensors.items()})
    return path


def gemma_scope_2(layer: int) -> dict[str, Tensor]:
    """Gemma Scope 2's tensors of one layer, with a skip."""
    tensors = transcoder(layer)
    return {
        "w_enc": tensors["W_enc"].T.contiguous(),
        "w_dec": tensors["W_dec"],
        "b_enc": tensors["b_enc"],
        "b_dec": tensors["b_dec"],
        "threshold": threshold(layer),
        "affine_skip_connection": skip(layer).T.contiguous(),
    }


def write_gemma_scope_2(folder: Path, hooks: tuple[str, str] = HUB_HOOKS) -> Path:
    """Subfolders of layers as Gemma Scope 2 is published."""
    for layer in range(N_LAYERS):
        part = folder / f"layer_{layer}_width_16k_l0_small_affine"
        part.mkdir(parents=True)
        points = [f"model.layers.{layer}.{hook}" for hook in hooks]
        config = {"hf_hook_point_in": points[0], "hf_hook_point_out": points[1]}
        (part / "config.json").write_text(json.dumps(config))
        save_file(gemma_scope_2(layer), part / "params.safetensors")
    return folder


def write_saelens(folder: Path, **changes: Any) -> Path:
    """SAELens's folders of JumpReLU transcoders with a skip; `changes` go into `cfg.json`."""
    for layer in range(N_LAYERS):
        part = folder / f"part_{1 - layer}"
        part.mkdir(parents=True)
        config = {
            "architecture": "jumprelu_skip_transcoder",
            "d_in": D_MODEL,
            "d_sae": N_FEATURES,
            "d_out": D_MODEL,
            "normalize_activations": "none",
            "metadata": {
                "hook_name": f"blocks.{layer}.ln2.hook_normalized",
                "hook_name_out": f"blocks.{layer}.hook_mlp_out",
            },
        }
        (part / "cfg.json").write_text(json.dumps(config | changes))
        tensors = transcoder(layer) | {"threshold": threshold(layer), "W_skip": skip(layer)}
        tensors["W_enc"] = tensors["W_enc"].T.contiguous()
        save_file(tensors, part / "sae_weights.safetensors")
    return folder


def write_sparsify(folder: Path, prefix: str = "layers", **changes: Any) -> Path:
    """eai-sparsify's folders of TopK transcoders with a skip; `changes` go into `cfg.json`."""
    for layer in range(N_LAYERS):
        part = folder / f"{prefix}.{layer}.mlp"
        part.mkdir(parents=True)
        config = {
            "activation": "topk",
            "expansion_factor": 32,
            "normalize_decoder": True,
            "num_latents": N_FEATURES,
            "k": 20,
            "multi_topk": False,
            "skip_connection": True,
            "transcode": True,
            "d_in": D_MODEL,
        }
        (part / "cfg.json").write_text(json.dumps(config | changes))
        tensors = transcoder(layer) | {"W_skip": skip(layer)}
        tensors["encoder.weight"] = tensors.pop("W_enc")
        tensors["encoder.bias"] = tensors.pop("b_enc")
        save_file(tensors, part / "sae.safetensors")
    return folder


def write_llamascopium(folder: Path, norms: tuple[float, float] = (3.0, 5.0), **more: Any) -> Path:
    """Llamascopium's folders; `norms` are a dataset's, `more` goes into `config.json`."""
    for layer in range(N_LAYERS):
        part = folder / f"layer{layer}_transcoder_8x_k20"
        part.mkdir(parents=True)
        hooks = [f"blocks.{layer}.{hook}" for hook in ("ln2.hook_normalized", "hook_mlp_out")]
        config = {
            "sae_type": "sae",
            "hook_point_in": hooks[0],
            "hook_point_out": hooks[1],
            "d_model": D_MODEL,
            "expansion_factor": N_FEATURES / D_MODEL,
            "act_fn": "topk",
            "norm_activation": "dataset-wise",
            "top_k": 20,
        }
        (part / "config.json").write_text(json.dumps(config | more))
        tensors = transcoder(layer)
        tensors = {
            "W_E": tensors["W_enc"].T.contiguous(),
            "b_E": tensors["b_enc"],
            "W_D": tensors["W_dec"],
            "b_D": tensors["b_dec"],
            "activation_function.log_jumprelu_threshold": threshold(layer).log(),
        }
        for hook, norm in zip(hooks, norms, strict=True):
            tensors[f"dataset_average_activation_norm.{hook}"] = torch.tensor(norm)
        save_file(tensors, part / "sae_weights.safetensors")
    return folder


def clt_decoder(layer: int, n_targets: int) -> Tensor:
    """Decoder rows for `n_targets` layers."""
    return random(N_FEATURES, n_targets, D_MODEL, seed=100 + layer)


def write_clt(folder: Path, n_layers: int = N_LAYERS, **changes: Any) -> Path:
    """A cross-layer transcoder in pairs of files, with skips; `changes` go into `config.yaml`.

    It has thresholds unless these change its activation.
    """
    write_config(folder, CLT_CONFIG | changes)
    for layer in range(n_layers):
        tensors = transcoder(layer)
        encoder = {f"{key}_{layer}": tensors[key] for key in ("W_enc", "b_enc", "b_dec")}
        encoder[f"W_skip_{layer}"] = skip(layer).T.contiguous()
        if "activation" not in changes:
            encoder[f"threshold_{layer}"] = threshold(layer)
        save_file(encoder, folder / f"W_enc_{layer}.safetensors")
        decoder = {f"W_dec_{layer}": clt_decoder(layer, n_layers - layer)}
        save_file(decoder, folder / f"W_dec_{layer}.safetensors")
    return folder


def write_gemma_scope_2_clt(folder: Path, n_layers: int = N_LAYERS) -> Path:
    """One file per layer, decoders for all layers; those before the own layer are NaN."""
    names = [f"params_layer_{layer}.safetensors" for layer in range(n_layers)]
    write_config(folder, CLT_CONFIG | {"transcoders": names})
    for layer, name in enumerate(names):
        decoder = clt_decoder(layer, n_layers)
        decoder[:, :layer] = torch.nan
        save_file(gemma_scope_2(layer) | {"w_dec": decoder}, folder / name)
    return folder
