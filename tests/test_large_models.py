"""Models that are quantised, put aside on the disk, or mixtures of experts: what works on them."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from dictionaries import CONFIG, write_clt, write_config, write_transcoders
from heard import Heard
from opened import edges_by_autograd, graph_of, ids_of, open_tiny, relative_error
from safetensors.torch import load_file, save_file
from tiny_models import save_other, tiny_tokenizer
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, GptOssConfig, PreTrainedConfig, Qwen3MoeConfig

import tracer
from tracer.engine.attribution.frozen import TOLERANCE
from tracer.engine.features import dictionary
from tracer.engine.features.basis import FeatureBasis
from tracer.engine.features.open import open_basis
from tracer.engine.model import blocks
from tracer.engine.model.held import held_weights, weights_hash
from tracer.engine.model.model import Model, _adapt
from tracer.engine.model.weights import open_weights
from tracer.engine.progress import Silent
from tracer.errors import ModelUnavailable, UsageError
from tracer.hypothesis.spec import ModelSpec

IN_PART = {
    "model.embed_tokens": "cpu",
    "model.rotary_emb": "cpu",
    "model.layers.0": "cpu",
    "model.layers.1": "disk",
    "model.norm": "cpu",
    "lm_head": "cpu",
}


class Packed(nn.Module):
    """A quantised projection as the libraries have them: whole numbers, and a scale for each row.

    It multiplies with what they stand for; its `weight` cannot be read.
    """

    def __init__(self, dense: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = dense.in_features, dense.out_features
        scale = dense.weight.abs().amax(1) / 127
        whole = (dense.weight / scale[:, None]).round().to(torch.int8)
        self.weight = nn.Parameter(whole, requires_grad=False)
        self.scale = nn.Buffer(scale.detach())
        self.bias = dense.bias

    def dense(self) -> Tensor:
        return self.weight * self.scale[:, None]

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.dense(), self.bias)


def loaded(folder: Path, **how: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", **how).eval()


def clamped(model: Any, features: str) -> Tensor:
    """Logits under clamps of features in both layers, at all positions of a name."""
    session = tracer.Session(model, tokenizer=tiny_tokenizer(), features=features)
    clamps: dict[str, Any] = {"0_3": {"to": 5}, "1_7": 0}
    return session.clamp("the capital of Texas", clamps).logits


class Pair(NamedTuple):
    """A model with packed projections, and one with the dense matrices that these stand for."""

    packed: Any
    dense: Any

    def opened(self) -> tuple[Model, Model]:
        packed, dense = (Model(held_weights(each, tiny_tokenizer())) for each in self)
        return packed, dense


@pytest.fixture(scope="module")
def quantised(tiny_llama: Path) -> Pair:
    packed, dense = loaded(tiny_llama), loaded(tiny_llama)
    for layer, same in zip(packed.model.layers, dense.model.layers, strict=True):
        for part in ("self_attn", "mlp"):
            block, other = getattr(layer, part), getattr(same, part)
            for name, linear in list(block.named_children()):
                if isinstance(linear, nn.Linear):
                    setattr(block, name, Packed(linear))
                    getattr(other, name).weight.data = getattr(block, name).dense()
    packed.config.quantization_config = {"quant_method": "of the tests"}
    return Pair(packed, dense)


@pytest.mark.parametrize("write", [write_transcoders, write_clt])
def test_dictionaries_work_on_quantised_models(
    quantised: Pair, tmp_path: Path, write: Callable[[Path], Path]
):
    packed, dense = quantised.opened()
    assert packed.is_quantised and not dense.is_quantised
    basis = open_basis(str(write(tmp_path / "d")), packed, Silent()).basis
    ids = ids_of(packed)
    torch.testing.assert_close(
        packed.clean(ids[None], []).logits, dense.clean(ids[None], []).logits
    )
    found, wanted = graph_of(packed, basis), graph_of(dense, basis)
    assert (found.nodes.features == wanted.nodes.features).all()
    assert relative_error(found.edges, wanted.edges) < TOLERANCE[torch.float32]
    torch.testing.assert_close(packed.W_O(1), dense.W_O(1))
    of_packed, of_dense = (clamped(each, str(tmp_path / "d")) for each in quantised)
    torch.testing.assert_close(of_packed, of_dense)
    unclamped = packed.clean(ids_of(packed, "the capital of Texas")[None], []).logits
    assert (of_packed - unclamped).abs().max() > 0.1


def test_neurons_of_quantised_models_are_refused(quantised: Pair):
    with pytest.raises(ModelUnavailable) as caught:
        tracer.Session(quantised.packed, tokenizer=tiny_tokenizer())
    assert str(caught.value).endswith(
        "the weights of the MLPs cannot be read (its dtype is torch.int8, which is packed integer "
        "storage (quantization: an unknown quantization)). Use a dictionary as features, or the "
        "unquantised model."
    )


def test_scales_are_hashed_with_packed_weights(tiny_llama: Path):
    model = loaded(tiny_llama)
    layer = model.model.layers[0].mlp
    layer.up_proj = Packed(layer.up_proj)
    model.config.quantization_config = {"quant_method": "of the tests"}
    held = held_weights(model, tiny_tokenizer())
    before = weights_hash(held)
    layer.up_proj.scale *= 2
    assert weights_hash(held) != before


def test_a_quantised_checkpoint_whose_library_is_not_here_is_told(tiny_llama: Path, tmp_path: Path):
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "model"))
    say_quantised(folder, {"quant_method": "gptq", "bits": 4})
    with pytest.raises(
        ModelUnavailable, match=r"loaded \(ImportError: Loading a GPTQ quantized mo"
    ):
        open_weights(ModelSpec(name=str(folder), device="cpu"), Silent())


def test_packed_weights_that_nobody_unpacks_are_no_weights(tiny_llama: Path, tmp_path: Path):
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "model"))
    say_quantised(folder, {"quant_method": "of the future"})
    spec = ModelSpec(name=str(folder), device="cpu")
    assert open_weights(spec, Silent()).record.dtype == "float32"  # they are dense all the same
    path, key = folder / "model.safetensors", "model.layers.0.mlp.up_proj.weight"
    tensors = load_file(path)
    save_file(tensors | {key: (99 * tensors[key]).to(torch.int8)}, path, {"format": "pt"})
    with pytest.raises(ModelUnavailable, match=f"{key} is I8; allowed are F64, F32, F16, BF16"):
        open_weights(spec, Silent())


def say_quantised(folder: Path, how: dict[str, Any]) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": how}))


def test_a_model_that_is_partly_on_the_disk(tiny_llama: Path, tmp_path: Path):
    whole = held_weights(loaded(tiny_llama), tiny_tokenizer())
    put_aside = loaded(tiny_llama, device_map=IN_PART, offload_folder=tmp_path / "aside")
    part = held_weights(put_aside, tiny_tokenizer())
    assert part.record.device == "cpu, meta"
    assert weights_hash(part) == weights_hash(whole)
    here, there = Model(whole), Model(part)
    ids = ids_of(here)
    assert torch.equal(here.clean(ids[None], []).logits, there.clean(ids[None], []).logits)
    dictionaries = str(write_transcoders(tmp_path / "d"))
    for name in ("neurons", dictionaries):
        of = [open_basis(name, model, Silent()).basis for model in (here, there)]
        graphs = [graph_of(model, basis) for model, basis in zip((here, there), of, strict=True)]
        assert np.array_equal(graphs[0].edges, graphs[1].edges)
    assert torch.equal(clamped(put_aside, dictionaries), clamped(loaded(tiny_llama), dictionaries))
    ends_there = loaded(
        tiny_llama, device_map=IN_PART | {"lm_head": "disk"}, offload_folder=tmp_path / "end"
    )
    rows = Model(held_weights(ends_there, tiny_tokenizer())).forward(ids, [], rows=3)
    torch.testing.assert_close(rows, here.forward(ids, [], rows=3))
    assert all(each.device.type == "meta" for each in put_aside.model.layers[1].parameters())


def test_a_hook_sees_and_gives_back_what_is_on_the_devices_of_each():
    home = torch.device("meta")
    here = torch.ones(2)
    seen: list[torch.device] = []

    def change(x: Tensor) -> Tensor:
        seen.append(x.device)
        return torch.zeros(2)

    changed = _adapt(change, home)(here, None)
    assert seen == [home]
    assert changed is not None and changed.device == here.device
    assert _adapt(lambda x: None, home)(here, None) is None


def test_layers_are_spread_over_cuda_devices_where_there_are_some(tiny: Path):
    if torch.cuda.is_available():
        pytest.skip("there are some")
    with pytest.raises(UsageError, match="device 'balanced' needs CUDA devices, and none is here"):
        open_weights(ModelSpec(name=str(tiny), device="balanced"), Heard())


EXPERTS: dict[type[PreTrainedConfig], dict[str, Any]] = {
    Qwen3MoeConfig: {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    GptOssConfig: {
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention"],
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},
    },
}


@pytest.mark.parametrize("kind", EXPERTS)
def test_a_graph_of_a_mixture_of_experts_has_its_router_frozen(
    kind: type[PreTrainedConfig], tmp_path: Path
):
    model = open_tiny(save_other(kind, tmp_path / "model", **EXPERTS[kind]))
    basis = open_basis(str(write_transcoders(tmp_path / "d")), model, Silent()).basis
    graph = graph_of(model, basis)
    assert graph.subject.n_active > 100
    # Each target's edges and constant add up to its value: all that the experts give is in errors.
    total = graph.edges.sum(1) + graph.constants
    np.testing.assert_allclose(total, graph.values, atol=1e-3)
    by_autograd = edges_by_autograd(model, basis, graph, ids_of(model))
    assert relative_error(graph.edges, by_autograd) < 1e-4
    with pytest.raises(ModelUnavailable, match="its MLPs are mixtures of experts, and which of th"):
        open_basis("neurons", model, Silent())


def test_encoders_that_a_device_has_no_room_for_are_not_kept(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model, folder = open_tiny(tiny), str(write_transcoders(tmp_path / "d"))

    def opened(room: float) -> FeatureBasis:
        monkeypatch.setattr(dictionary, "_room_for_encoders", lambda device: room)
        return open_basis(folder, model, Silent()).basis

    kept, one, none = opened(float("inf")), opened(24 * 33 * 4), opened(0)
    graphs = [graph_of(model, basis) for basis in (kept, one, none)]
    for graph in graphs[1:]:
        assert np.array_equal(graph.edges, graphs[0].edges)
    assert [len(basis._encoders) for basis in (kept, one, none)] == [2, 1, 0]


def test_the_unembedding_is_converted_in_slices(monkeypatch: pytest.MonkeyPatch, tiny_llama: Path):
    monkeypatch.setattr(blocks, "PART", 100)  # of 398 tokens
    end = open_tiny(tiny_llama, "bfloat16").unembedding
    x, weights = torch.randn(3, 32), torch.randn(2, end.W_U.shape[1])
    torch.testing.assert_close(end.scores(x), x @ end.W_U.float())
    torch.testing.assert_close(end.reads(weights), weights @ end.W_U.float().T)


def resident(folder: Path) -> dict[str, int]:
    """Bytes of each mapped file of a folder that are in memory."""
    found: dict[str, int] = {}
    name = ""
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            path = line.partition("/")[2]
            name = Path(path).name if f"/{path}".startswith(str(folder)) else ""
        elif name and line.startswith("Rss:"):
            found[name] = found.get(name, 0) + 1024 * int(line.split()[1])
    return found


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells what is mapped")
def test_of_a_dictionary_only_what_a_pass_needs_is_read(tiny: Path, tmp_path: Path):
    """Two layers of 512 MB: files that are holes, so that the test writes nothing."""
    model, folder = open_tiny(tiny), write_config(tmp_path / "d", CONFIG)
    n_features, d_model = 2_000_000, 32
    shapes = {
        "W_enc": [n_features, d_model],
        "W_dec": [n_features, d_model],
        "b_enc": [n_features],
        "b_dec": [d_model],
    }
    header, end = dict[str, Any](), 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    for layer in range(2):
        with (folder / f"layer_{layer}.safetensors").open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.truncate(8 + len(text) + end)
    basis = open_basis(str(folder), model, Silent()).basis
    assert all(n < 2**20 for n in resident(folder).values())
    index = torch.tensor([5, 1_000_000])
    x, at = torch.ones(1, 2, 32), torch.tensor([0, 0])
    basis.encode_at(1, x, at, at, index)
    basis.W_dec(1, index, 1)
    read = resident(folder)
    assert read.get("layer_0.safetensors", 0) < 2**20
    assert 0 < read["layer_1.safetensors"] < 2**22
    basis.encode(1, x[0])
    assert resident(folder)["layer_1.safetensors"] > n_features * d_model * 4
    assert resident(folder).get("layer_0.safetensors", 0) < 2**20
