"""One hypothesis on several models and feature bases."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from command import call, use_engine, write_file

import tracer
from tracer.errors import EngineError, UsageError
from tracer.report.matrix import Combination, CombinationResult, Matrix, combinations, render_matrix


def test_every_model_meets_every_basis_once():
    assert combinations(["a", "b", "a"], ["x", "y"]) == (
        Combination("a", "x"), Combination("a", "y"), Combination("b", "x"), Combination("b", "y"),
    )  # fmt: skip
    assert combinations([], ["x"]) == (Combination(None, "x"),)
    assert combinations([], []) == (Combination(None, None),)


@pytest.fixture
def engine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    write_file(Path("hypotheses/two_hop.yaml"))
    return use_engine(monkeypatch)


MATRIX = ("run", "--model", "gemma-3-270m", "--model", "me/far", "--features", "neurons")


def test_a_combination_that_cannot_be_opened_is_a_row_and_not_the_end(engine, capfd):
    engine.raises = {"me/far": EngineError("layer 30 is out of range; the last is 17.")}
    result = call(capfd, *MATRIX, "--features", "me/set", "--json", "v.json", "--junitxml", "j.xml")
    assert result.code == 3
    assert "two_hop: as expected on 2 of 4 combinations" in result.out
    assert "layer 30" in result.out
    table = result.out[result.out.index("as expected on 2 of 4") :]
    assert max(map(len, table.splitlines())) <= 80
    results = json.loads(Path("v.json").read_text())["results"]
    assert [(r["case"], "run" in r) for r in results] == [
        ("two_hop[model=gemma-3-270m,features=neurons]", True),
        ("two_hop[model=gemma-3-270m,features=me/set]", True),
        ("two_hop[model=me/far,features=neurons]", False),
        ("two_hop[model=me/far,features=me/set]", False),
    ]
    assert len({r.get("run") for r in results}) == 3
    suites = [suite.get("name") for suite in ET.parse("j.xml").iter("testsuite")]
    assert suites == [r["case"] for r in results]
    page = Path("reports/matrix-two_hop.html").read_text()
    assert page.count(">consistent</span>") + page.count("consistent</span></a>") >= 2
    for r in results[:2]:
        assert f'href="{Path(r["run"]).relative_to("reports").as_posix()}/report.html"' in page
    record = json.loads((Path(results[1]["run"]) / "run.json").read_text())
    assert record["hypothesis"]["features"] == "me/set"


def test_one_combination_is_a_run_as_ever(engine, capfd):
    result = call(capfd, "run", "--model", "gemma-3-270m", "--json", "v.json")
    assert result.code == 0
    assert "combinations" not in result.out
    assert not list(Path("reports").glob("matrix-*"))
    [result] = json.loads(Path("v.json").read_text())["results"]
    assert "case" not in result


def test_a_broken_file_is_a_row_too_and_a_baseline_is_of_one_combination(engine, capfd):
    Path("hypotheses/two_hop.yaml").write_text("hypothesis: 3\n")
    result = call(capfd, *MATRIX)
    assert result.code == 4
    assert "as expected on 0 of 2 combinations" in result.out
    result = call(capfd, *MATRIX, "--baseline", "auto")
    assert "a baseline is of one model and one feature basis" in result.err


def test_from_python_the_same(engine, tmp_path):
    engine.raises = {"me/far": UsageError("'gemma': features of another model.")}
    matrix = tracer.run_matrix("hypotheses/two_hop.yaml", models=["gemma-3-270m", "me/far"])
    assert [case.word for case in matrix.cases] == ["consistent", "not run"]
    assert matrix.cases[0].id == "two_hop[model=gemma-3-270m,features=neurons]"
    assert "features of another" in str(matrix)
    assert [case.model for case in matrix.holds] == ["gemma-3-270m"]
    assert (tmp_path / "reports" / "matrix-two_hop.html").exists()


def test_what_comes_from_outside_is_text_on_the_page():
    matrix = Matrix((CombinationResult("h", "<script>", "x", None, "no <b>"),))
    page = render_matrix(matrix, Path())
    assert "<script>" not in page.split("</style>")[1].split("<script")[0]
    assert "&lt;script&gt;" in page
    assert "no &lt;b&gt;" in page
