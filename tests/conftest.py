"""What several test files stand on: tiny random models, saved once a session; no network."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # read by huggingface_hub when it is imported
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # processes that share the cores
    threads = max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # read by torch when it is imported

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench import make_bench
from opened import open_tiny
from playwright.sync_api import Browser
from tiny_models import (
    save_gemma2,
    save_gemma3,
    save_gpt2,
    save_llama,
    save_neox,
    save_qwen3,
)
from transformers.utils import logging

from tests.chromium import chromium
from tracer.engine.model.model import Model
from tracer.engine.resolve import MeasurementContext

logging.disable_progress_bar()


@pytest.fixture(autouse=True)
def own_measurements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or leaves measurements where the user's are kept."""
    folder = tmp_path / "kept-measurements"
    for module in (
        "tracer.api.hypotheses",
        "tracer.cli.propose",
        "tracer.cli.run",
        "tracer.cli.setup",
    ):
        monkeypatch.setattr(f"{module}.root", lambda: folder)
    indexes = tmp_path / "kept-indexes"
    monkeypatch.setattr("tracer.engine.feature_index.entries.root", lambda: indexes)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a 2-layer random Gemma 3."""
    return save_gemma3(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a 2-layer random Llama."""
    return save_llama(tmp_path_factory.mktemp("tiny_llama"))


@pytest.fixture(scope="session")
def bench(tiny: Path) -> MeasurementContext:
    """The tiny Gemma 3, opened for measuring."""
    return make_bench(tiny)


@pytest.fixture(scope="session")
def tiny_gpt2_bench(tmp_path_factory: pytest.TempPathFactory) -> MeasurementContext:
    """A model without gates, with biases, opened for measuring."""
    return make_bench(save_gpt2(tmp_path_factory.mktemp("tiny_gpt2")))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A file's own Chromium: Playwright's loop, left open, would be in other tests' way."""
    with chromium() as opened:
        yield opened


ARCHITECTURES = {
    "gemma3": save_gemma3,
    "gemma2": save_gemma2,
    "llama": save_llama,
    "qwen3": save_qwen3,
    "gpt2": save_gpt2,
    "pythia": save_neox,
}


@pytest.fixture(scope="session", params=ARCHITECTURES)
def each_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A tiny model of every architecture that is tested."""
    name = request.param
    return open_tiny(ARCHITECTURES[name](tmp_path_factory.mktemp(name)))
