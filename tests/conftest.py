"""What several test files stand on: tiny random models, saved once a session; no network."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # read by huggingface_hub when it is imported

from pathlib import Path

import pytest
from bench import make_bench
from tiny_models import save_gemma3, save_gpt2, save_llama
from transformers.utils import logging

from tracer.measure import Bench

logging.disable_progress_bar()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a 2-layer random Gemma 3."""
    return save_gemma3(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a 2-layer random Llama."""
    return save_llama(tmp_path_factory.mktemp("tiny_llama"))


@pytest.fixture(scope="session")
def bench(tiny: Path) -> Bench:
    """The tiny Gemma 3, opened for measuring."""
    return make_bench(tiny)


@pytest.fixture(scope="session")
def tiny_gpt2_bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A model without gates, with biases, opened for measuring."""
    return make_bench(save_gpt2(tmp_path_factory.mktemp("tiny_gpt2")))
