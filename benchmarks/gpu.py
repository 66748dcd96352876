"""Is a GPU right, and how near to what it can do? Ten minutes at most, nothing downloaded.

    python -m benchmarks.gpu [--device cuda] [--size gemma-2-2b] [--dtype float32] [--minutes 9]
                             [--hypothesis FILE ...] [--out FILE.json]

1. *The same verdicts.* Three claims, a true one, a false one and one of attention heads, about
   models whose circuits are planted (as `tracer selftest` builds them), or the files that are
   named: measured on the CPU and on the device in this command, judged, and compared: verdicts,
   outcomes, and the largest difference of any number in the tensors of the runs.
2. *How fast.* On random weights of a true shape: clamps a second, a graph's seconds, and what share
   they are of the rate of a large matrix product and of a copy, both measured here in the same
   type.
3. *Memory.* The most that was in use at once.

`--device cpu --size tiny` goes through all of it in a minute, without a GPU. The exit status is 1
where a verdict or an outcome differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    PreTrainedTokenizerFast,
)

from tracer.cli.selftest.claims import Claim, claims_about
from tracer.cli.selftest.scenes import Scene, make_scenes
from tracer.cli.selftest.trials import hypothesis_of
from tracer.engine.attribution.graph import attributed
from tracer.engine.attribution.targets import salient
from tracer.engine.batches import Row, batch_limit
from tracer.engine.clean import CleanRun, clean_run
from tracer.engine.cost import ModelSize
from tracer.engine.features.neurons import NeuronBasis
from tracer.engine.forward import read_of_rows
from tracer.engine.memory import free_memory
from tracer.engine.model.held import held_weights
from tracer.engine.model.model import Model
from tracer.engine.model.weights import choose_device
from tracer.engine.progress import Silent
from tracer.engine.run import measure
from tracer.hypothesis.load import read
from tracer.hypothesis.tokens import TokenizedPrompt
from tracer.hypothesis.yaml_text import to_yaml
from tracer.record import run_folder
from tracer.report.run import judge_and_save

SEED = 7
N_TOKENS, N_FEATURES, N_ROWS, KEPT = 40, 531, 256, 2048
ROUNDS = 5
SIDE = {"cuda": 8192, "cpu": 1024}
"""Of the square matrices whose product is the yardstick."""
COPIED = {"cuda": 1 << 30, "cpu": 1 << 26}
"""Bytes of the copy that is the other one."""
SIZES: dict[str, Any] = {
    "gemma-2-2b": Gemma2Config(
        vocab_size=256_000, hidden_size=2304, intermediate_size=9216, num_hidden_layers=26,
        num_attention_heads=8, num_key_value_heads=4, head_dim=256,
    ),
    "gemma-3-270m": Gemma3TextConfig(
        vocab_size=262_144, hidden_size=640, intermediate_size=2048, num_hidden_layers=18,
        num_attention_heads=4, num_key_value_heads=1, head_dim=256,
    ),
    "tiny": Gemma3TextConfig(
        vocab_size=512, hidden_size=64, intermediate_size=256, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, head_dim=16,
    ),
}  # fmt: skip
"""Shapes as they are published."""


@dataclass
class Check:
    """What is found, told as it comes and kept for a file."""

    device: torch.device
    ends: float
    """When there is no time left, by `time.monotonic`."""
    found: dict[str, Any] = field(default_factory=dict[str, Any])

    def tell(self, name: str, value: Any, text: str) -> None:
        """One line."""
        self.found[name] = value
        sys.stdout.write(f"{name:28} {text}\n")
        sys.stdout.flush()

    def has_time(self, name: str) -> bool:
        """Whether a step may begin; one that may not is told."""
        if time.monotonic() < self.ends:
            return True
        self.tell(name, None, "left out: no time is left")
        return False


def wait(device: torch.device) -> None:
    """Until the device has done everything."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], device: torch.device, rounds: int = ROUNDS) -> float:
    """The best of some rounds, after one that does not count."""
    best = float("inf")
    for number in range(rounds + 1):
        wait(device)
        start = time.perf_counter()
        work()
        wait(device)
        best = min(best, time.perf_counter() - start) if number else best
    return best


def planted(home: Path) -> list[tuple[Claim, Scene]]:
    """A true claim, a false one and one of heads, about the first model of a seed."""
    [(_, scene)] = make_scenes(SEED, 1, home)
    claims = list(claims_about(scene.path))
    wanted = (
        lambda each: each.family.truth == "true" and not each.is_of_heads,
        lambda each: each.family.truth == "false" and not each.is_of_heads,
        lambda each: each.family.truth == "true" and each.is_of_heads,
    )
    return [(next(filter(test, claims)), scene) for test in wanted]


def files(home: Path, named: list[str]) -> list[Path]:
    """The hypotheses that are compared."""
    if named:
        return [Path(each) for each in named]
    found: list[Path] = []
    for claim, scene in planted(home):
        found.append(home / f"{claim.name}.yaml")
        found[-1].write_text(to_yaml(hypothesis_of(claim, scene)), encoding="utf-8")
    return found


def judged(path: Path, device: torch.device, reports: Path) -> tuple[Any, dict[str, Any]]:
    """A file's verdict on a device, and the tensors of its run."""
    file = read(str(path), (f"model.device={device}",))
    folder = measure(file, reports=reports, progress=Silent(), keep_going=True, fresh=True)
    return judge_and_save(folder).verdict, dict(run_folder.read_arrays(folder))


def compare_verdicts(check: Check, named: list[str]) -> bool:
    """Whether every verdict and outcome is the CPU's."""
    same = True
    with tempfile.TemporaryDirectory(prefix="tracer_gpu_") as folder:
        home = Path(folder)
        for path in files(home, named):
            if not check.has_time(path.stem):
                return False
            wanted, theirs = judged(path, torch.device("cpu"), home / "cpu")
            start = time.monotonic()
            found, mine = judged(path, check.device, home / "device")
            took = time.monotonic() - start
            outcomes = [[one.outcome for one in each.outcomes] for each in (found, wanted)]
            alike = found.verdict == wanted.verdict and outcomes[0] == outcomes[1]
            worst = max((largest(mine[key], theirs[key]) for key in theirs), default=0.0)
            same &= alike
            check.tell(
                path.stem,
                {"cpu": wanted.verdict, "device": found.verdict, "alike": alike, "worst": worst},
                f"{found.verdict}, on the CPU {wanted.verdict}; outcomes "
                f"{'alike' if alike else 'DIFFER'}; largest difference {worst:.1e}; {took:.1f} s",
            )
    return same


def largest(found: np.ndarray, wanted: np.ndarray) -> float:
    """Of two tensors that need not hold anything."""
    found, wanted = (np.asarray(each, np.float64) for each in (found, wanted))
    return float(np.nanmax(np.abs(found - wanted), initial=0.0))


def random_model(size: str, dtype: torch.dtype, device: torch.device) -> Model:
    """Random weights of a shape, made on the device."""
    config = SIZES[size]
    torch.manual_seed(SEED)
    with torch.device(device):
        held = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="eager")
    held.eval().requires_grad_(requires_grad=False)
    held.config.architectures = [type(held).__name__]  # as a saved one has it
    words = {word: n for n, word in enumerate(["<bos>", "<unk>", *(f"w{n}" for n in range(100))])}
    core = Tokenizer(WordLevel(words, unk_token="<unk>"))
    core.pre_tokenizer = Whitespace()
    names = {"bos_token": "<bos>", "unk_token": "<unk>", "eos_token": "<bos>"}
    return Model(held_weights(held, PreTrainedTokenizerFast(tokenizer_object=core, **names), size))


def prompt_of(model: Model) -> TokenizedPrompt:
    """A sentence of random words, asked about one of them."""
    draw = np.random.default_rng(SEED)
    ids = (0, *draw.integers(2, 102, N_TOKENS - 1).tolist())
    tokens = tuple(f"w{n}" for n in ids)
    spans = {"last": (N_TOKENS - 1, N_TOKENS)}
    return TokenizedPrompt("random", " ".join(tokens), ids, tokens, spans, None, {"w3": 5})


def rows_of(model: Model, basis: NeuronBasis) -> list[Row]:
    """Clamps of as many neurons as a supernode has, all over the layers, near the end."""
    draw = np.random.default_rng(SEED)
    rows: list[Row] = []
    for _ in range(N_ROWS):
        layers = draw.integers(model.n_layers, size=N_FEATURES)
        index = [int(draw.integers(basis.n_features(layer))) for layer in layers]
        places = zip(layers.tolist(), index, strict=True)
        rows.append(Row({(layer, N_TOKENS - 3, n): 1.0 for layer, n in places}, is_control=True))
    return rows


def yardsticks(check: Check, dtype: torch.dtype) -> tuple[float, float]:
    """FLOP/s of a large product, and bytes a second of a copy (read and written)."""
    device, kind = check.device, check.device.type
    torch.set_float32_matmul_precision("highest")
    a, b = (torch.randn(SIDE[kind], SIDE[kind], device=device, dtype=dtype) for _ in range(2))
    flops = 2 * SIDE[kind] ** 3 / seconds(lambda: a @ b, device)
    source = torch.empty(COPIED[kind], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    bandwidth = 2 * len(source) / seconds(lambda: target.copy_(source), device)
    check.tell("matrix product", flops, f"{flops / 1e12:.3g} TFLOP/s, a square of {SIDE[kind]:,}")
    check.tell("copy", bandwidth, f"{bandwidth / 1e9:,.0f} GB/s, read and written")
    return flops, bandwidth


def measure_speed(check: Check, size: str, dtype: torch.dtype) -> None:
    """Clean passes, clamps and a graph on random weights."""
    if not check.has_time("speed"):
        return
    device = check.device
    flops, bandwidth = yardsticks(check, dtype)
    free_memory()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    model = random_model(size, dtype, device)
    basis, prompt = NeuronBasis(model), prompt_of(model)
    shape = ModelSize.from_config(SIZES[size].to_dict())
    assert shape is not None
    n_bytes = (shape.n_weights + shape.n_embedding) * torch.finfo(dtype).bits // 8
    positions = range(N_TOKENS)

    def passed() -> CleanRun:
        return clean_run(model, basis, prompt, positions)

    took = seconds(passed, device)
    share = n_bytes / took / bandwidth
    text = f"{1000 * took:.1f} ms; weights read at {100 * share:.0f} % of the copy's rate"
    check.tell("clean pass", {"seconds": took, "share of bandwidth": share}, text)
    measure_clamps(check, model, basis, passed(), shape, flops)
    if check.has_time("graph"):
        ids = torch.tensor(prompt.ids)
        took = seconds(lambda: graph(model, basis, ids), device, rounds=1)
        told = f"{took:.2f} s, {N_TOKENS} tokens, {KEPT:,} neurons kept"
        check.tell("graph", {"seconds": took}, told)
    if device.type == "cuda":
        most = torch.cuda.max_memory_allocated(device)
        told = f"{most / 2**30:.2f} GiB at most, of which weights {n_bytes / 2**30:.2f} GiB"
        check.tell("memory", {"most": most, "weights": n_bytes}, told)


def graph(model: Model, basis: NeuronBasis, ids: torch.Tensor) -> object:
    """The attribution graph of the prompt."""

    def toward(frozen: Any) -> Any:
        return salient(frozen, model.tokenizer)

    return attributed(model, basis, ids, toward, KEPT, Silent())


def measure_clamps(
    check: Check, model: Model, basis: NeuronBasis, clean: CleanRun, shape: ModelSize, flops: float
) -> None:
    """Rows a second, and their rate beside that of a large product."""
    if not check.has_time("clamps"):
        return
    rows, limit = rows_of(model, basis), batch_limit(model, clean)

    def clamp() -> None:
        for _ in read_of_rows(model, basis, clean, rows, limit, lambda each: each.rows):
            pass

    took = seconds(clamp, check.device, rounds=2)
    rate = len(rows) * shape.flops(3) / took
    about = {"a second": len(rows) / took, "flops": rate, "share": rate / flops, "rows": limit.rows}
    check.tell(
        "clamps",
        about | {"halved": limit.halved},
        f"{len(rows) / took:,.0f} a second, of {N_FEATURES} neurons, {limit.rows} rows at once; "
        f"{rate / 1e12:.3g} TFLOP/s, {100 * rate / flops:.0f} % of the product's",
    )


def main() -> None:
    """Check, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", choices=SIZES, default="gemma-2-2b")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--hypothesis", action="append", default=[])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    device = choose_device(options.device)
    check = Check(device, time.monotonic() + 60 * options.minutes)
    is_gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if is_gpu else "the CPU, not a GPU"
    told = f"{name}; torch {torch.__version__}, CUDA {torch.version.cuda}"
    check.tell("device", told, told)
    check.tell("model", [options.size, options.dtype], f"{options.size}, random, {options.dtype}")
    same = compare_verdicts(check, options.hypothesis)
    measure_speed(check, options.size, getattr(torch, options.dtype))
    if options.out is not None:
        options.out.write_text(json.dumps(check.found, indent=1), encoding="utf-8")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
