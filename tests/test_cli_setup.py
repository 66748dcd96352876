from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import tracer
from tests.command import Result, call
from tracer.cli.commands import COMMANDS, typer_command
from tracer.cli.commands import Command as Row
from tracer.cli.documents.registry import DOCUMENTS, document_schema
from tracer.cli.options import with_json_file
from tracer.hypothesis.load import json_schema, read

Command = Callable[..., Result]
ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tracer_(capfd: pytest.CaptureFixture[str]) -> Command:
    return partial(call, capfd)


def in_a_process(*arguments: str, code: str = "", **variables: str):
    command = [sys.executable, *(("-c", code) if code else ("-m", "tracer")), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=120
    )


def test_init_writes_a_file_that_is_valid_and_never_replaces_one(tracer_: Command):
    assert tracer_("init").code == 0
    path = Path("hypotheses/my_hypothesis.yaml")
    assert read(str(path)).hypothesis.hypothesis == "my_hypothesis"
    path.write_text("mine")
    result = tracer_("init")
    assert result.code == 4
    assert "exists already; it was left as it is." in result.err
    assert path.read_text() == "mine"
    assert tracer_("init", "x.txt").code == 4
    assert not Path("x.txt").exists()


def test_schema(tracer_: Command):
    assert json.loads(tracer_("schema").out) == json_schema()


def test_every_command_with_json_has_a_schema(tracer_: Command):
    """What commands write is held against it wherever a test runs one; see `tests.command`."""
    rows = {row.name: row for row in COMMANDS}
    rows |= {f"{row.name} {each.name}": each for row in COMMANDS for each in row.subcommands}
    with_json = {
        name
        for name, row in rows.items()
        if any("--json" in option.opts for option in typer_command(row).params)
    }
    assert with_json == set(DOCUMENTS)
    for command in with_json:
        printed = json.loads(tracer_("schema", *command.split()).out)
        assert printed == document_schema(command)
        Draft202012Validator.check_schema(printed)
    result = tracer_("schema", "rum")
    assert result.code == 4
    assert result.err.startswith("no command with --json 'rum'. Did you mean 'run'? Known: 'run',")


def test_models(tracer_: Command):
    result = tracer_("models")
    assert result.code == 0
    assert "gemma-3-270m\n" in result.out
    assert "pip install" in result.out


def test_version_and_help(tracer_: Command):
    assert tracer_("--version").out == f"tracer {tracer.__version__}\n"
    result = tracer_("--help")
    assert result.code == 0
    commands = "run validate plan list show judge report models schema init"
    assert all(f" {command} " in result.out for command in commands.split())
    assert "5 nothing selected" in " ".join(result.out.split())
    for command in commands.split():
        assert tracer_(command, "--help").code == 0


@pytest.mark.parametrize("row", COMMANDS, ids=[row.name for row in COMMANDS])
def test_the_table_of_commands_says_what_each_says_of_itself(row: Row):
    assert " ".join(typer_command(row).help.split("\n\n")[0].split()) == row.sentence


def test_help_imports_no_command():
    done = in_a_process(
        code="import sys; from tracer.cli.app import run_command; run_command(['--help'])\n"
        "print([m for m in sys.modules if m.startswith(('tracer.engine', 'tracer.api'))])"
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_an_unknown_command_is_4(tracer_: Command):
    result = tracer_("frobnicate")
    assert result.code == 4
    assert "frobnicate" in result.err


@pytest.mark.parametrize("command", ["run", "validate", "graph", "list"])
def test_a_slip_names_the_help_of_the_command_itself(tracer_: Command, command: str):
    result = tracer_(command, "--nonsense")
    assert result.code == 4
    assert result.err.startswith(f"tracer {command}: No such option: --nonsense")
    assert f"Try `tracer {command} --help`." in result.err


@pytest.mark.parametrize("arguments", [("--help",), ("run", "--help"), ("schema",), ("models",)])
def test_a_reader_that_goes_is_no_failure(arguments: tuple[str, ...]):
    with subprocess.Popen(
        [sys.executable, "-m", "tracer", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_process_without_streams_ends_with_its_code():
    for arguments, code in (("schema", 0), ("run nowhere.yaml", 4)):
        command = f"{sys.executable} -m tracer {arguments} >&- 2>&-"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        assert subprocess.run(command, shell=True, env=environment).returncode == code


def test_a_shell_completes_commands_and_options():
    words = {"tracer sho": "show", "tracer list --js": "--json"}
    for typed, completed in words.items():
        done = in_a_process(
            _TRACER_COMPLETE="complete_bash",
            COMP_WORDS=typed,
            COMP_CWORD=str(len(typed.split()) - 1),
        )
        assert (done.returncode, done.stdout.split()) == (0, [completed])


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ("list --json", "list --json=-"),
        ("list --json -", "list --json=-"),
        ("list --json a.json", "list --json=a.json"),
        ("validate --json two_hop.yaml", "validate --json=- two_hop.yaml"),
        ("run --json -q x.yaml", "run --json=- -q x.yaml"),
        ("run --json=verdicts.txt", "run --json=verdicts.txt"),
        ("graph -- --json", "graph -- --json"),
    ],
)
def test_json_takes_a_file_or_stands_alone(words: str, read: str):
    assert with_json_file(words.split()) == read.split()


def test_the_version_is_the_projects():
    assert f'version = "{tracer.__version__}"' in (ROOT / "pyproject.toml").read_text()


def test_the_front_needs_no_torch():
    code = (
        "import sys, tracer, tracer.cli.app; tracer.Run, tracer.load, tracer.run, tracer.Verdict;"
        "print([m for m in ('torch', 'transformers', 'transformer_lens') if m in sys.modules])"
    )
    done = in_a_process(code=code)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_mistake_of_ours_is_a_traceback_and_3():
    code = (
        "import tracer.engine, types; from tracer.__main__ import main\n"
        "tracer.engine.run = types.SimpleNamespace(measure=lambda *a, **k: 1 / 0)\n"
        "import sys; sys.argv = ['tracer', 'run', 'x.yaml']; main()"
    )
    assert in_a_process("init", "x.yaml").returncode == 0
    done = in_a_process(code=code)
    assert done.returncode == 3
    assert "ZeroDivisionError" in done.stderr
    assert "a mistake in tracer itself" in done.stderr


def test_ctrl_c_is_2_and_a_sentence():
    code = (
        "import tracer.engine, types, os, signal, time; from tracer.__main__ import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "stop = lambda *a, **k: (os.kill(os.getpid(), signal.SIGINT), time.sleep(60))\n"
        "tracer.engine.run = types.SimpleNamespace(measure=stop)\n"
        "import sys; sys.argv = ['tracer', 'run', 'x.yaml']; main()"
    )
    assert in_a_process("init", "x.yaml").returncode == 0
    done = in_a_process(code=code)
    assert done.returncode == 2
    assert "the same command resumes" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_without_unicode_is_served():
    done = in_a_process("init", "x.yaml", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    done = in_a_process("--help", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    done = in_a_process("list", "x.yaml", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="attribute nonsense"):
        tracer.nonsense  # noqa: B018
    assert {"load", "run", "Run", "Hypothesis", "Verdict"} <= set(dir(tracer))


def test_the_first_word_may_name_a_subcommand(tracer_: Command, monkeypatch: pytest.MonkeyPatch):
    inner = next(row for row in COMMANDS if row.name == "schema")
    rows = [
        row._replace(subcommands=(inner,)) if row.name == "features" else row for row in COMMANDS
    ]
    monkeypatch.setattr("tracer.cli.app.COMMANDS", rows)
    assert json.loads(tracer_("features", "schema").out) == json_schema()
    wrong = tracer_("features", "schema", "--top")
    assert (wrong.code, "tracer features schema: " in wrong.err) == (4, True)
    assert f"`tracer features schema`: {inner.sentence[:20]}" in tracer_("features", "--help").out
    assert "is no feature id" in tracer_("features", "schemata").err
