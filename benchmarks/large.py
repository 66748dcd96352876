"""A graph and a run at the size of Gemma-2-2B with Gemma Scope: seconds and memory of each phase.

    python benchmarks/large.py FOLDER [--dtype float32] [--only graph]

The weights are random. FOLDER gets a model of the shape of google/gemma-2-2b (26 layers, 2.6e9
parameters, three shards of safetensors, 10.5 GB in float32) and 26 JumpReLU transcoders of 16,384
features as Gemma Scope publishes them (`params.npz`, float32, 302 MB each), unless they are there.
Remove it afterwards.

Graph and run are processes of their own. For each phase it prints the seconds, and the most memory
that was resident while it lasted: the process's own (which nothing else can have) and pages of
mapped files (which the system takes back where it needs them).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import AutoModelForCausalLM, Gemma2Config, PreTrainedTokenizerFast

from tracer.engine.graph_request import GraphRequest
from tracer.engine.graphs import graphs
from tracer.engine.progress import Advance
from tracer.engine.run import measure
from tracer.hypothesis.load import read
from tracer.hypothesis.spec import ModelSpec

N_FEATURES, L0 = 16_384, 50
"""Of a layer, and how many of them fire at a position: Gemma Scope's are 5 to 95."""
N_SHARDS = 3
CITIES = ("Dallas", "Houston", "Oakland", "Miami", "Plano", "Fresno")
TEXT = "Fact: the capital of the state containing {city} is"
TASKS = ("graph", "run")
SAMPLE_SECONDS = 0.02
MADV_DONTNEED = 4
MARGIN_GB = 0.3
"""What may come in between two samples."""
out = sys.stdout


def config() -> Gemma2Config:
    """The shape of google/gemma-2-2b."""
    return Gemma2Config(
        vocab_size=256_000,
        hidden_size=2304,
        intermediate_size=9216,
        num_hidden_layers=26,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=256,
        max_position_embeddings=8192,
        sliding_window=4096,
        query_pre_attn_scalar=256,
        attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
        architectures=["Gemma2ForCausalLM"],
    )


def write_tokenizer(folder: Path, d_vocab: int) -> None:
    """Words of the prompts, and as many more as the model has rows for."""
    words = ["<pad>", "<eos>", "<bos>", "<unk>", *TEXT.replace("{city}", "").split(), *CITIES]
    vocabulary = {word: n for n, word in enumerate(dict.fromkeys(words))}
    vocabulary |= {f"word{n}": n for n in range(len(vocabulary), d_vocab)}
    core = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    names = {f"{token}_token": f"<{token}>" for token in ("pad", "eos", "bos", "unk")}
    PreTrainedTokenizerFast(tokenizer_object=core, **names).save_pretrained(folder)


def write_model(folder: Path, dtype: torch.dtype) -> None:
    """Random weights, shard by shard: the whole is never in memory."""
    folder.mkdir(parents=True)
    shape = config()
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape)
    named = {key: each.shape for key, each in model.named_parameters()}
    keys = list(named)
    size = -(-len(keys) // N_SHARDS)
    random, weight_map = torch.Generator().manual_seed(0), {}
    for shard in range(N_SHARDS):
        name = f"model-{shard + 1:05}-of-{N_SHARDS:05}.safetensors"
        mine = keys[shard * size : (shard + 1) * size]
        tensors = {
            key: torch.randn(named[key], generator=random).mul_(0.02).to(dtype) for key in mine
        }
        save_file(tensors, folder / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(mine, name)
        del tensors
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    shape.dtype = str(dtype).removeprefix("torch.")
    shape.save_pretrained(folder)
    write_tokenizer(folder, shape.vocab_size)


def write_transcoders(folder: Path) -> None:
    """Encoders and decoders of rows of length 1, and thresholds such that some `L0` fire."""
    folder.mkdir(parents=True)
    shape, random = config(), np.random.default_rng(0)
    d_model = shape.hidden_size
    names = [f"layer_{layer}/params.npz" for layer in range(shape.num_hidden_layers)]
    # Pre-activations are standard normal: what is read has a root mean square of 1.
    threshold = -torch.distributions.Normal(0, 1).icdf(torch.tensor(L0 / N_FEATURES)).item()
    for name in names:
        (folder / name).parent.mkdir()
        scale = np.float32(d_model**-0.5)
        np.savez(
            folder / name,
            W_enc=random.standard_normal((d_model, N_FEATURES), np.float32) * scale,
            W_dec=random.standard_normal((N_FEATURES, d_model), np.float32) * scale,
            b_enc=np.zeros(N_FEATURES, np.float32),
            b_dec=np.zeros(d_model, np.float32),
            threshold=np.full(N_FEATURES, threshold, np.float32),
        )
    hooks = {
        "feature_input_hook": "ln2.hook_normalized",
        "feature_output_hook": "hook_mlp_out",
    }
    described = {"model_kind": "transcoder_set", "transcoders": names} | hooks
    (folder / "config.yaml").write_text(json.dumps(described))


class Watched:
    """A `Progress` that keeps seconds and peak memory of every phase."""

    def __init__(self, folder: Path, limit: float) -> None:
        self._folder, self._limit, self._taken_back = str(folder), limit, 0
        self.phases: dict[str, list[float]] = {}
        """Seconds, then GB of the process's own and of mapped files, at most."""
        self._phase, self._since = "", time.perf_counter()
        self._enter("importing")
        threading.Thread(target=self._sample, daemon=True).start()

    @contextmanager
    def task(self, label: str, total: int | None = None) -> Generator[Advance]:
        """A phase; what lies between two is named after the one before."""
        self._enter(label)
        yield lambda n: None
        self._enter(f"after {label}")

    def note(self, text: str) -> None:
        """Printed."""
        out.write(f"  note: {text}\n")

    def report(self) -> None:
        """Print all phases that took a tenth of a second."""
        self._enter("end")
        for label, (seconds, own, mapped) in self.phases.items():
            if seconds >= 0.1:
                out.write(f"  {seconds:7.1f} s  {own:5.2f} + {mapped:5.2f} GB  {label}\n")
        for name, column in (("own", 1), ("mapped", 2)):
            out.write(f"  peak, {name}: {max(p[column] for p in self.phases.values()):.2f} GB\n")
        total = sum(phase[0] for phase in self.phases.values())
        out.write(f"  {total:.1f} s in all, peak of both together {resident('VmHWM'):.2f} GB\n")
        if self._taken_back:
            out.write(f"  mapped pages were taken back {self._taken_back} times\n")

    def _enter(self, phase: str) -> None:
        now = time.perf_counter()
        if self._phase:
            self.phases[self._phase][0] += now - self._since
        self._since = now
        self.phases.setdefault(phase, [0.0, 0.0, 0.0])
        self._phase = phase

    def _sample(self) -> None:
        while True:
            phase = self.phases[self._phase]
            own, mapped = resident("RssAnon"), resident("RssFile")
            phase[1], phase[2] = max(phase[1], own), max(phase[2], mapped)
            if own + mapped > self._limit - MARGIN_GB:
                self._taken_back += 1
                take_back(self._folder)
            time.sleep(SAMPLE_SECONDS)


def take_back(folder: str) -> None:
    """Drop the pages of all mapped files of a folder; what is read again comes from the file."""
    libc = ctypes.CDLL(None)
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        if folder in line:
            start, stop = (int(part, 16) for part in line.split()[0].split("-"))
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(stop - start), MADV_DONTNEED)


def resident(key: str) -> float:
    """A line of the process's status, in GB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    [line] = [line for line in status.splitlines() if line.startswith(f"{key}:")]
    return int(line.split()[1]) * 1024 / 1e9


def take_graph(folder: Path, dtype: str, watched: Watched) -> None:
    """The graph of one prompt."""
    model = ModelSpec.model_validate(
        {"name": str(folder / "model"), "device": "cpu", "dtype": dtype}
    )
    text = TEXT.format(city=CITIES[0])
    request = GraphRequest(text, model, str(folder / "transcoders"), max_features=2048)
    for named in graphs(request, watched):
        graph = named.graph
        out.write(
            f"  {len(graph.subject.tokens)} tokens, {graph.subject.n_active:,} features active, "
            f"{len(graph.nodes.features):,} kept, {np.count_nonzero(graph.edges):,} edges, their "
            f"absolute sum {np.abs(graph.edges).sum(dtype=np.float64):.9g}\n"
        )


def take_run(folder: Path, dtype: str, watched: Watched) -> None:
    """A hypothesis: a supernode by its activation, ablated on five prompts, 99 controls on each."""
    prompts = {city.lower(): {"city": city, "answer": " is"} for city in CITIES}
    rule = {"by": "activation", "on": ["dallas"], "against": ["oakland"], "at": "city", "top": 100}
    declared = {
        "hypothesis": "large",
        "claim": "None: this measures what a run takes.",
        "model": {"name": str(folder / "model"), "device": "cpu", "dtype": dtype},
        "features": str(folder / "transcoders"),
        "template": TEXT,
        "prompts": prompts,
        "supernodes": {"texas": {"select": rule}},
        "interventions": {
            "off": {
                "prompts": [name for name in prompts if name != "oakland"],
                "clamp": {"texas": 0},
                "expect": [{"logit_diff": [" is", " of"], "beats_controls": 0.05}],
            }
        },
    }
    path = folder / "large.yaml"
    path.write_text(json.dumps(declared))
    measure(read(str(path)), reports=folder / "reports", fresh=True, progress=watched)


def main() -> None:
    """Write what is missing, then measure each task in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--only", choices=TASKS)
    parser.add_argument("--limit", type=float, default=float("inf"), help="GB resident at most")
    parser.add_argument("--alone", choices=TASKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        watched = Watched(options.folder, options.limit)
        take = {"graph": take_graph, "run": take_run}[options.alone]
        take(options.folder, options.dtype, watched)
        watched.report()
        return
    if not (options.folder / "model").exists():
        write_model(options.folder / "model", getattr(torch, options.dtype))
    if not (options.folder / "transcoders").exists():
        write_transcoders(options.folder / "transcoders")
    for task in TASKS:
        if options.only in (None, task):
            out.write(f"{task}, {options.dtype}, {torch.get_num_threads()} threads\n")
            out.flush()
            subprocess.run([sys.executable, *sys.argv, "--alone", task], check=True)


if __name__ == "__main__":
    main()
