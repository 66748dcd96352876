"""A model in a data package, as the embedded ones come: a real GGUF, quantised, in two parts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import gguf
import numpy as np
from tiny_models import CONTEXT, SPECIAL, tiny_tokenizer

from tracer.hypothesis.names import DataPackage, NamedModel, PackageFile

D_MODEL, D_MLP, N_HEADS, N_KV, N_LAYERS = 32, 64, 4, 2, 2
D_HEAD = D_MODEL // N_HEADS
MODULE = "toy_gguf_part{}"


def write_package(root: Path) -> NamedModel:
    """Put the package's modules into `root`, and say how the registry would name them."""
    root.mkdir(exist_ok=True)
    whole = root / "toy.gguf"
    write_gguf(whole)
    data = whole.read_bytes()
    whole.unlink()
    half = len(data) // 2
    for number, piece in enumerate((data[:half], data[half:]), start=1):
        folder = root / MODULE.format(number)
        (folder / "data").mkdir(parents=True)
        (folder / "__init__.py").write_text("raise AssertionError('a data package was run')\n")
        (folder / "data" / "toy.part").write_bytes(piece)
    return NamedModel(
        name="toy",
        summary="two random layers",
        licence="none",
        package=DataPackage(
            distribution="toy-gguf",
            version="1",
            parts=tuple(PackageFile(module=MODULE.format(n), path="data/toy.part") for n in (1, 2)),
            sha256=hashlib.sha256(data).hexdigest(),
            install="pip install toy-gguf==1",
            converted_mb=1,
        ),
        hub="nobody/toy",
    )


def write_gguf(path: Path) -> None:
    """A Llama with grouped queries; matrices in 8-bit blocks, norms in float32."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(D_MODEL)
    writer.add_block_count(N_LAYERS)
    writer.add_feed_forward_length(D_MLP)
    writer.add_head_count(N_HEADS)
    writer.add_head_count_kv(N_KV)
    writer.add_rope_dimension_count(D_HEAD)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    n_vocab = _add_tokenizer(writer)
    for name, rows_columns in _shapes(n_vocab).items():
        _add_random(writer, name, rows_columns)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter) -> int:
    model = json.loads(tiny_tokenizer().backend_tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control if token in SPECIAL else normal for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_bos_token_id(SPECIAL.index("<bos>"))
    writer.add_eos_token_id(SPECIAL.index("<eos>"))
    writer.add_add_bos_token(True)
    return len(tokens)


def _shapes(n_vocab: int) -> dict[str, tuple[int, ...]]:
    layer = {
        "attn_norm": (D_MODEL,),
        "ffn_norm": (D_MODEL,),
        "attn_q": (D_MODEL, D_MODEL),
        "attn_k": (N_KV * D_HEAD, D_MODEL),
        "attn_v": (N_KV * D_HEAD, D_MODEL),
        "attn_output": (D_MODEL, D_MODEL),
        "ffn_gate": (D_MLP, D_MODEL),
        "ffn_up": (D_MLP, D_MODEL),
        "ffn_down": (D_MODEL, D_MLP),
    }
    blocks = {f"blk.{n}.{k}.weight": v for n in range(N_LAYERS) for k, v in layer.items()}
    ends = {"token_embd.weight": (n_vocab, D_MODEL), "output_norm.weight": (D_MODEL,)}
    return blocks | ends


def _add_random(writer: gguf.GGUFWriter, name: str, shape: tuple[int, ...]) -> None:
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    values = np.random.default_rng(seed).normal(0, 0.2, shape).astype(np.float32)
    if len(shape) == 1:
        writer.add_tensor(name, 1 + values)
    else:
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
