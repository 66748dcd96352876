"""Models and dictionaries come from a hub by the real client; what goes wrong is a sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from dictionaries import CONFIG, write_npz
from heard import Heard
from hub_server import TOKEN, Hub, serving
from huggingface_hub import constants
from huggingface_hub.utils import close_session
from safetensors.torch import load_file, save

from tracer.engine.features.open import open_basis
from tracer.engine.model import hub as our_hub
from tracer.engine.model.hub import download, download_files
from tracer.engine.model.model import Model
from tracer.engine.model.sources import HubSource, locate
from tracer.engine.model.weights import open_weights
from tracer.errors import ModelUnavailable, OutOfReach
from tracer.hypothesis.spec import ModelSpec

REPO = "org/tiny"
SOURCE = HubSource(REPO, None)
SPEC = ModelSpec(name=REPO, device="cpu")
BIG = {"big.safetensors": bytes(3_500_000), "config.json": b"{}"}


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The client does not sleep between its attempts; for how long it would have."""
    waited: list[float] = []
    clock = SimpleNamespace(**vars(time))
    clock.sleep = waited.append
    monkeypatch.setattr("huggingface_hub.utils._http.time", clock)
    monkeypatch.setattr("huggingface_hub.file_download.time", clock)
    return waited


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> Iterator[Hub]:
    """A hub that the client of this process asks, with an empty cache."""
    with serving() as running:
        template = running.address + "/{repo_id}/resolve/{revision}/{filename}"
        settings: dict[str, Any] = {
            "ENDPOINT": running.address,
            "HUGGINGFACE_CO_URL_TEMPLATE": template,
            "HF_HUB_OFFLINE": False,
            "HF_HUB_CACHE": str(tmp_path / "hub"),
            "HF_TOKEN_PATH": str(tmp_path / "token"),
            "DOWNLOAD_CHUNK_SIZE": 1000,
        }
        for name, value in settings.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        close_session()
        yield running
        close_session()


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def pushed(hub: Hub, folder: Path, **more: bytes) -> str:
    """A model's folder as a commit, with files beside that nobody needs."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    beside = {
        "consolidated.safetensors": b"the same again",
        "pytorch_model.bin": b"a pickle",
        "modeling_tiny.py": b"raise SystemExit",
        "onnx/model.onnx": b"another format",
        "onnx/config.json": b"{}",
    }
    return hub.push(REPO, files | beside | more)


def test_a_model_is_loaded_from_the_hub_then_without_it(
    hub: Hub, tiny: Path, monkeypatch: pytest.MonkeyPatch
):
    commit = pushed(hub, tiny)
    opened = open_weights(SPEC, Heard())
    record = opened.record
    assert (record.source, record.revision, record.fingerprint) == (REPO, commit, commit)
    here = load_file(tiny / "model.safetensors")
    for name, weight in opened.hf_model.named_parameters():
        if name in here:
            assert torch.equal(weight, here[name])
    wanted = {path.name for path in tiny.iterdir()}
    assert hub.fetched() == sorted(wanted)
    hub.asked.clear()
    open_weights(SPEC, Heard())
    assert hub.fetched() == []
    assert locate(SPEC).state == "ready"
    offline(monkeypatch)
    asked = len(hub.asked)
    assert open_weights(SPEC, Heard()).record == record
    assert len(hub.asked) == asked


def test_of_a_model_in_shards_only_those_of_its_index_come(hub: Hub, tiny_llama: Path):
    tensors = load_file(tiny_llama / "model.safetensors")
    first = dict(list(tensors.items())[:9])
    rest = {name: tensor for name, tensor in tensors.items() if name not in first}
    files = {
        path.name: path.read_bytes() for path in tiny_llama.iterdir() if path.suffix == ".json"
    }
    parts = {"model-1.safetensors": first, "model-2.safetensors": rest}
    index = {
        "metadata": {},
        "weight_map": {name: part for part, held in parts.items() for name in held},
    }
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    files |= {part: save(held, {"format": "pt"}) for part, held in parts.items()}
    hub.push(REPO, files | {"model-fp16.safetensors": b"another copy"})
    open_weights(SPEC, Heard())
    assert [name for name in hub.fetched() if name.endswith("safetensors")] == sorted(parts)


def test_a_pinned_revision_stays_and_a_changed_one_is_told(hub: Hub, tiny: Path, tiny_llama: Path):
    first = pushed(hub, tiny)
    heard = Heard()
    assert open_weights(SPEC, heard).record.architecture == "Gemma3ForCausalLM"
    second = pushed(hub, tiny_llama)
    pinned = SPEC.model_copy(update={"revision": first})
    assert open_weights(pinned, heard).record.revision == first
    assert heard.notes == []
    record = open_weights(SPEC, heard).record
    assert (record.revision, record.architecture) == (second, "LlamaForCausalLM")
    [note] = heard.notes
    assert note == (
        f"org/tiny has changed on the hub: main is commit {second} now, and was {first} when it "
        "was fetched before; name that as the revision to stay with it"
    )


def test_bytes_are_counted_as_they_come(hub: Hub):
    hub.push(REPO, BIG)
    heard = Heard()
    download_files(SOURCE, list(BIG), heard)
    assert heard.labels == [
        "asking the hub about org/tiny",
        "getting org/tiny from the hub, MB",
    ]
    assert heard.done["getting org/tiny from the hub, MB"] == 3


def test_a_connection_that_is_cut_goes_on_where_it_was(hub: Hub, waits: list[float]):
    hub.push(REPO, BIG)
    hub.fail("GET .*big", sent=1_234_567)
    heard = Heard()
    folder = download_files(SOURCE, list(BIG), heard)
    assert (folder / "big.safetensors").read_bytes() == BIG["big.safetensors"]
    offsets = [each.offset for each in hub.asked if "big" in each.path and each.method == "GET"]
    assert offsets == [0, 1_234_000]
    assert heard.done["getting org/tiny from the hub, MB"] == 3
    assert waits == [1]


def test_one_that_is_cut_again_and_again_leaves_nothing_half(hub: Hub):
    hub.push(REPO, BIG)
    hub.fail("GET .*big", times=99)
    with pytest.raises(ModelUnavailable, match=r"The download of org/tiny broke off: .*\. Run ag"):
        download_files(SOURCE, list(BIG), Heard())
    held = [path for path in Path(constants.HF_HUB_CACHE).rglob("*") if path.is_file()]
    assert not any("incomplete" in path.name for path in held)
    hub.faults.clear()
    hub.asked.clear()
    folder = download_files(SOURCE, list(BIG), Heard())
    assert (folder / "big.safetensors").read_bytes() == BIG["big.safetensors"]
    assert hub.fetched() == ["big.safetensors"]  # the other one was whole


def test_half_a_download_that_was_killed_is_told(hub: Hub):
    hub.push(REPO, BIG)
    blobs = Path(constants.HF_HUB_CACHE, "models--org--tiny", "blobs")
    blobs.mkdir(parents=True)
    for name, age in (("old", 7200), ("new", 0)):
        path = blobs / f"{name}.incomplete"
        path.write_bytes(bytes(10**6))
        os.utime(path, (time.time() - age, time.time() - age))
    heard = Heard()
    download_files(SOURCE, list(BIG), heard)
    [note] = heard.notes
    assert note.startswith("1 file(s) of downloads that were killed, 0.0 GB, lie in ")
    download_files(SOURCE, list(BIG), again := Heard())
    assert again.notes == []


@pytest.mark.parametrize("token", [None, "hf_of_somebody_else"])
def test_a_gated_model_says_what_to_do(
    hub: Hub, tiny: Path, monkeypatch: pytest.MonkeyPatch, token: str | None
):
    pushed(hub, tiny)
    hub.repositories[REPO].is_gated = True
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(OutOfReach) as caught:
        open_weights(SPEC, Heard())
    assert str(caught.value) == (
        "org/tiny is gated: accept its licence at https://huggingface.co/org/tiny and log in with "
        "`hf auth login` (or set HF_TOKEN)."
    )
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert open_weights(SPEC, Heard()).record.source == REPO


INFO, TREE, FILE = "GET /api/models/org/tiny($|/rev)", "GET .*/tree/", "/resolve/.*config"
PAGE = {"status": 200, "body": b"<html>Sign in to the network</html>", "times": 99}


@pytest.mark.parametrize(
    ("path", "how", "sentence"),
    [
        (INFO, {"status": 429, "times": 99}, r"takes no more requests for now \(HTTP 429, asked "),
        (TREE, {"status": 429, "times": 99}, r"takes no more requests for now \(HTTP 429, asked "),
        (FILE, {"status": 429, "times": 99}, r"takes no more requests for now \(HTTP 429, asked "),
        (INFO, {"status": 503, "times": 99}, r"The hub failed on org/tiny \(HTTP 503\); try aga"),
        (FILE, {"status": 503, "times": 99}, r"The hub failed on org/tiny \(HTTP 503\); try aga"),
        (INFO, {"status": 403}, r"The hub refuses org/tiny \(HTTP 403\): log in with"),
        (FILE, {"status": 403, "times": 99}, r"The hub refuses org/tiny \(HTTP 403\): log in "),
        (INFO, PAGE, r"org/tiny cannot be got from the hub \(JSONDecodeError: .*\)\. Try again"),
        (TREE, PAGE, r"org/tiny cannot be got from the hub \(JSONDecodeError: .*\)\. Try again"),
        (INFO, {"status": 200, "body": b"[1]"}, r"org/tiny cannot be got from the hub \("),
        (TREE, {"status": 200, "body": b'{"a": 1}'}, r"org/tiny cannot be got from the hub \("),
        (FILE, PAGE, "What answers for org/tiny is no model hub: it names no commit. Check HF_"),
        (INFO, {"times": 99}, "The download of org/tiny broke off: "),
        (INFO, {"waits": 0.2, "times": 99}, "does not answer in time when it is asked for org/t"),
        (FILE, {"waits": 0.2, "times": 99}, "of org/tiny broke off: the hub did not go on in time"),
    ],
)
def test_a_hub_that_answers_wrongly_or_slowly(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, path: str, how: dict[str, Any], sentence: str
):
    monkeypatch.setattr("tracer.engine.model.hub_client.PATIENCE", 0.05)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.05)
    hub.push(REPO, BIG)
    hub.fail(path, **how)
    with pytest.raises(ModelUnavailable, match=sentence) as caught:
        download(SOURCE, ["*.json"], Heard())
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_file_of_another_size_than_was_said(hub: Hub):
    hub.push(REPO, BIG)
    hub.fail("GET .*big", status=200, body=b"<html>Sign in to the network</html>")
    sentence = (
        r"The download of org/tiny broke off: Consistency check failed: file should be of size "
        r"3500000 but has size 35 \(.*big.safetensors\)\. Run again; whole files are kept\."
    )
    with pytest.raises(ModelUnavailable, match=f"^{sentence}$"):
        download_files(SOURCE, list(BIG), Heard())


def test_a_hub_that_asks_to_wait_is_waited_for(hub: Hub, waits: list[float]):
    hub.push(REPO, BIG)
    hub.fail("GET .*big", status=429, headers={"Retry-After": "7"})
    heard = Heard()
    folder = download_files(SOURCE, list(BIG), heard)
    assert (folder / "big.safetensors").stat().st_size == 3_500_000
    assert waits == [8]  # a second more than it asks for
    assert "huggingface_hub: Rate limited. Waiting 8.0s before retry [Retry 1/5]" in heard.notes


@pytest.mark.parametrize(
    ("how", "why"), [({"status": 503}, "HTTP 503"), ({"status": 429}, "HTTP 429")]
)
def test_what_was_fetched_before_is_used_where_the_hub_fails(
    hub: Hub, how: dict[str, Any], why: str
):
    commit = hub.push(REPO, BIG)
    folder = download_files(SOURCE, list(BIG), Heard())
    hub.fail(INFO, **how, times=99)
    heard = Heard()
    assert download_files(SOURCE, list(BIG), heard) == folder
    assert heard.notes == [
        f"the hub could not be asked about org/tiny ({why}); commit {commit}, which was fetched "
        "before, is used"
    ]
    with pytest.raises(ModelUnavailable, match=why):
        download_files(HubSource(REPO, "another"), list(BIG), Heard())


def test_part_of_a_repository_is_not_enough_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    hub.push(REPO, BIG)
    download(SOURCE, ["*.json"], Heard())
    offline(monkeypatch)
    with pytest.raises(OutOfReach, match="org/tiny is only in part in the hub's cache, and HF_HUB"):
        download_files(SOURCE, list(BIG), Heard())
    with pytest.raises(OutOfReach, match="org/no is not in the hub's cache, and HF_HUB_OFFLINE"):
        download_files(HubSource("org/no", None), ["a"], Heard())


def test_no_such_repository_or_revision(hub: Hub):
    hub.push(REPO, BIG)
    with pytest.raises(ModelUnavailable, match="The hub has no model 'org/no', or it is private"):
        download(HubSource("org/no", None), ["*"], Heard())
    with pytest.raises(ModelUnavailable, match="org/tiny has no revision 'v9' on the hub"):
        download(HubSource(REPO, "v9"), ["*"], Heard())


def test_a_model_larger_than_all_memory_is_not_fetched(
    hub: Hub, tiny: Path, monkeypatch: pytest.MonkeyPatch
):
    pushed(hub, tiny)
    n_bytes = (tiny / "model.safetensors").stat().st_size
    monkeypatch.setattr("tracer.engine.model.weights.main_memory", lambda: n_bytes - 1)
    with pytest.raises(ModelUnavailable, match=r"org/tiny: its weights take 0\.0 GB in float32, a"):
        open_weights(SPEC, Heard())
    assert not any(name.endswith("safetensors") for name in hub.fetched())
    half = SPEC.model_copy(update={"dtype": "bfloat16"})
    assert open_weights(half, Heard()).record.dtype == "bfloat16"


def test_a_download_larger_than_the_disk_is_not_begun(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    hub.push(REPO, BIG)
    full = SimpleNamespace(free=10**6)
    monkeypatch.setattr(our_hub.shutil, "disk_usage", lambda _: full)
    with pytest.raises(ModelUnavailable, match=r"org/tiny: 0\.0 GB are to be fetched into the hub"):
        download_files(SOURCE, list(BIG), Heard())
    assert hub.fetched() == []


def test_of_dictionaries_only_the_named_files_come(hub: Hub, tiny: Path, tmp_path: Path):
    model = Model(open_weights(ModelSpec(name=str(tiny), device="cpu"), Heard()))
    scope = tmp_path / "scope"
    for layer in range(2):
        for n_active in (5, 80):
            write_npz(scope / f"layer_{layer}/average_l0_{n_active}/params.npz", layer)
    there = hub.push("org/scope", scope)
    named = [
        f"hf://org/scope/layer_{layer}/average_l0_{n}/params.npz" for layer, n in ((0, 5), (1, 80))
    ]
    config = json.dumps(CONFIG | {"transcoders": named}).encode()
    here = hub.push("org/set", {"config.yaml": config, "features/layer_0.bin": b"a lot"}, "v2/")
    opened = open_basis("org/set/v2", model, Heard())
    assert (opened.source, opened.revision) == ("org/set/v2", here)
    assert hub.fetched() == [
        "layer_0/average_l0_5/params.npz",
        "layer_1/average_l0_80/params.npz",
        "v2/config.yaml",
    ]
    assert there in {path.name for path in Path(constants.HF_HUB_CACHE).rglob("snapshots/*")}


FETCH = """
import sys
from tracer.engine.model.hub import download_files
from tracer.engine.model.sources import HubSource
from tracer.engine.progress import Silent
print(download_files(HubSource("org/tiny", None), sys.argv[1:], Silent()))
"""


def test_two_processes_at_once_fetch_every_file_once(tmp_path: Path):
    """With the settings that a user has, which the client reads when it is imported."""
    with serving() as hub:
        commit = hub.push(REPO, BIG)
        hub.fail("GET .*(big|config)", waits=0.3, times=2)
        settings = {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}
        running = [
            subprocess.Popen(
                [sys.executable, "-c", FETCH, *BIG],
                env=os.environ | settings,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        said = [each.communicate(timeout=60) for each in running]
        assert [each.returncode for each in running] == [0, 0], said
        assert hub.fetched() == sorted(BIG)
    [folder] = {Path(out.strip()) for out, _ in said}
    assert folder.name == commit
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == BIG
    assert [err for _, err in said] == ["", ""]
