"""A dictionary in an installed package: found by its metadata, opened, told, and refused."""

from __future__ import annotations

import importlib.util
import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from command import call
from dictionaries import write_transcoders
from heard import Heard
from tiny_file import write_tiny

import tracer.hypothesis.installed_dictionaries as installed
from tracer.engine.evaluation.trained_on import training_of
from tracer.engine.features.open import open_basis
from tracer.engine.model.model import Model
from tracer.engine.model.weights import open_weights
from tracer.errors import OutOfReach, UsageError
from tracer.hypothesis.installed_dictionaries import GROUP, PACKAGED, find_installed
from tracer.hypothesis.names import misnamed
from tracer.hypothesis.spec import ModelSpec
from tracer.record.training import FILE, TrainingRecord, TrainingSettings, TrainingText

NAME, MODULE = "tiny-set", "tiny_set_data"
PACKAGES = Path(__file__).parent.parent / "packages"

Install = Callable[..., Path]


@pytest.fixture(scope="module")
def model(tiny: Path) -> Model:
    return Model(open_weights(ModelSpec(name=str(tiny)), Heard()))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a distribution into a folder of `sys.path`, as pip leaves one; gives its files."""
    site = tmp_path / "site"
    site.mkdir()

    def put(distribution: str = "tiny-set", value: str = MODULE, files: str = MODULE) -> Path:
        folder = site / MODULE
        if not folder.exists():
            write_transcoders(folder)
            (folder / "__init__.py").write_text("raise AssertionError('a package was run')\n")
        about = site / f"{distribution.replace('-', '_')}-1.2.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n"
        )
        (about / "entry_points.txt").write_text(f"[{GROUP}]\n{NAME} = {value}\n")
        own = sorted(f"{files}/{path.name}" for path in folder.iterdir())
        (about / "RECORD").write_text("".join(f"{path},,\n" for path in own))
        monkeypatch.syspath_prepend(site)
        return folder

    return put


def trained_on(model: Model, **changes: str) -> TrainingRecord:
    settings = TrainingSettings.model_construct(kind="transcoders", layers=(0, 1), width=24)
    text = TrainingText(names=(), what=("a text",), tokens=9, window=128, sha256="")
    record = model.record.model_copy(update=changes)
    return TrainingRecord.model_construct(
        model=record, text=text, settings=settings, steps=1, step=1, curve=()
    )


def test_its_name_opens_it_and_runs_nothing_of_it(model: Model, install: Install):
    assert misnamed(NAME)
    folder = install()
    assert misnamed(NAME) is None
    opened = open_basis(NAME, model, Heard())
    by_folder = open_basis(str(folder), model, Heard())
    assert (opened.source, opened.revision) == ("package tiny-set 1.2", None)
    assert opened.fingerprint == by_folder.fingerprint
    assert (opened.basis.name, by_folder.source) == (NAME, str(folder))
    assert f"Did you mean '{NAME}'" in str(misnamed("tiny-sets"))


def test_its_training_record_says_which_model_it_suits(
    model: Model, install: Install, monkeypatch: pytest.MonkeyPatch
):
    folder = install()
    (folder / FILE).write_text("")
    for name in ("tracer.engine.features.open", "tracer.engine.evaluation.trained_on"):
        monkeypatch.setattr(f"{name}.read_training", lambda _: trained_on(model))
    assert training_of(open_basis(NAME, model, Heard())) == trained_on(model)
    other = trained_on(model, fingerprint="0" * 64)
    monkeypatch.setattr("tracer.engine.features.open.read_training", lambda _: other)
    open_basis(NAME, model, Heard())  # other weights of the same name: told by an evaluation
    other = trained_on(model, fingerprint="0" * 64, name="gemma-3-270m")
    sentence = "'tiny-set' are for gemma-3-270m and google/gemma-3-270m; this model is .*name the "
    with pytest.raises(UsageError, match=sentence + f"folder: {folder}"):
        open_basis(NAME, model, Heard())


def test_a_known_one_that_is_not_installed_says_how_to_get_it(model: Model):
    [name] = PACKAGED
    assert misnamed(name) is None  # the name is right: what is missing is the package
    with pytest.raises(OutOfReach, match=f"come with the data package tracer-{name}, which is not"):
        open_basis(name, model, Heard())


@pytest.mark.parametrize(
    ("value", "files", "sentence"),
    [
        ("../../etc", MODULE, "offers '../../etc', which is no folder of a package; allowed are"),
        ("a/b", MODULE, "offers 'a/b', which is no folder"),
        ("a..b", MODULE, "offers 'a..b', which is no folder"),
        ("tiny_set_data:x", MODULE, "offers 'tiny_set_data:x', which is no folder"),
        ("absent.part", "absent/part", "has no files in absent/part, which it offers"),
        (MODULE, "another", "has no files in tiny_set_data, which it offers; install it anew"),
        ("link", "link", "has no files in link, which it offers"),
    ],
)
def test_only_folders_of_its_own(
    install: Install, tmp_path: Path, value: str, files: str, sentence: str
):
    install(value=value, files=files)
    (tmp_path / "site" / "link").symlink_to(write_transcoders(tmp_path / "elsewhere"))
    with pytest.raises(UsageError, match="the installed package tiny-set 1.2 " + sentence):
        find_installed(NAME)


def test_a_name_that_two_packages_offer(install: Install, capfd: pytest.CaptureFixture[str]):
    install()
    install("another-set")
    sentence = f"features '{NAME}' are offered by another-set 1.2 and tiny-set 1.2; uninstall one"
    with pytest.raises(UsageError, match=sentence):
        find_installed(NAME)
    told = call(capfd, "models")
    assert (told.code, sentence in " ".join(told.out.split())) == (0, True)


def test_models_tells_of_it(
    install: Install, model: Model, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
):
    install()
    told = call(capfd, "models")
    assert f"{NAME}\n  features of an installed package\n  here     ready, package t" in told.out
    monkeypatch.setattr("tracer.cli.setup.read_training", lambda _: trained_on(model))
    assert "0 tokens: a text\n" in call(capfd, "models").out


def test_other_names_ask_no_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(installed, "entry_points", None)
    assert misnamed("neurons") is misnamed("./folder") is misnamed("owner/name") is None


def test_the_packages_are_what_is_known_of_them():
    for each in PACKAGED.values():
        project = tomllib.loads((PACKAGES / each.name / "pyproject.toml").read_text())
        about, tool = project["project"], project["tool"]["setuptools"]
        assert about["name"] == each.distribution
        assert about["entry-points"][GROUP] == {each.name: tool["packages"][0]}
        assert (PACKAGES / each.name / "build.py").is_file()


def test_a_file_of_a_package_that_is_not_there_is_skipped_where_it_says_so(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
):
    monkeypatch.chdir(tmp_path)
    [name] = PACKAGED
    write_tiny(tmp_path, tiny, features=name, if_absent="skip")
    told = call(capfd, "run", "tiny.yaml")
    assert (told.code, f"SKIPPED  tiny  features '{name}' come with the data" in told.out) == (
        5,
        True,
    )
    write_tiny(tmp_path, tiny, features=name)
    told = call(capfd, "run", "tiny.yaml")
    assert (told.code, told.err.count(f"features '{name}' come with the data package")) == (4, 1)


def test_the_recipe_packs_weights_and_what_was_measured_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    path = PACKAGES / "gemma-3-270m-transcoders" / "build.py"
    spec = importlib.util.spec_from_file_location("build_recipe", path)
    assert spec is not None and spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    done: list[str] = []

    def python(*words: str) -> None:
        match words:
            case ("-m", "tracer", "train", *rest):
                done.append("train")
                assert rest[-2:] == ["--out", str(tmp_path / "work" / "trained")]
            case ("-m", "tracer", "features", "compact", trained, "--out", out):
                done.append(trained)
                Path(out).mkdir()
            case ("-m", "tracer", "features", "evaluate", features, *_, out):
                folder = Path(out) / "evaluations" / "1"
                folder.mkdir(parents=True)
                about = {"basis": features, "dictionary": {"source": features}}
                (folder / "evaluation.json").write_text(json.dumps({"bases": [about]}))
            case ("-m", "pip", "wheel", *_, "--wheel-dir", dist, project):
                [module] = tomllib.loads((Path(project) / "pyproject.toml").read_text())["tool"][
                    "setuptools"
                ]["packages"]
                text = (Path(project) / module / "evaluation.json").read_text()
                assert str(tmp_path) not in text and (Path(project) / "README.md").is_file()
                Path(dist).mkdir()
                (Path(dist) / "a.whl").touch()

    monkeypatch.setattr(recipe, "_python", python)
    monkeypatch.setattr(recipe, "WORK", tmp_path / "work")
    monkeypatch.setattr(recipe, "DIST", tmp_path / "dist")
    monkeypatch.setattr("sys.argv", ["build.py", "--trained", "mine"])
    recipe.main()
    assert capsys.readouterr().out == f"{tmp_path / 'dist' / 'a.whl'}\n"
    assert list((tmp_path / "work").iterdir()) == []
    (tmp_path / "dist" / "a.whl").unlink()
    (tmp_path / "dist").rmdir()
    monkeypatch.setattr("sys.argv", ["build.py"])
    recipe.main()
    assert done == ["mine", "train", str(tmp_path / "work" / "trained")]
