"""`tracer propose` on a planted model: the file, its thresholds by hand, and what is refused."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import tracer
from tests.command import Result, call
from tracer.cli.selftest.planted import Planted, build
from tracer.cli.selftest.world import make_plan
from tracer.evidence.statistics import wilson
from tracer.hypothesis.load import as_declared, read
from tracer.record.registration import registered

Command = Callable[..., Result]
VALUES = (0, 1, 2, 3)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Planted, Path]:
    """A model that tells a value of a city by two hops."""
    model, folder = build(make_plan(0, "two_hop")), tmp_path_factory.mktemp("planted")
    model.save(folder)
    return model, folder


@pytest.fixture
def propose(
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    planted: tuple[Planted, Path],
) -> Command:
    """`tracer propose` on it, in a folder with a table of cities, one row of it wrong."""
    monkeypatch.chdir(tmp_path)
    relation, cities = planted[0].plan.world.relations[0], planted[0].plan.world.cities
    first, rest = relation.template.split(" ", 1)
    rows = ["lead,city,value,answer"]  # `lead` is the same on all: nothing is found there
    for value in VALUES:
        rows += [
            f"{first},{cities[n]},v{value}, {relation.answers[value]}"
            for n in relation.cities(value)
        ]
    wrong = next(n for n, value in enumerate(relation.value_of) if value not in VALUES)
    rows.append(f"{first},{cities[wrong]},v0, {relation.answers[0]}")
    Path("cities.csv").write_text("\n".join(rows), encoding="utf-8")
    given = (f"{{lead}} {rest}", "--table", "cities.csv", "--by", "value")
    return partial(call, capfd, "propose", *given, "--model", str(planted[1]), "--device", "cpu")


def test_a_table_becomes_a_registered_file_whose_thresholds_are_of_discovery(propose: Command):
    result = propose("--name", "values", "--json", "p.json")
    assert result.code == 0, result.err
    told, file = json.loads(Path("p.json").read_text()), read("values.yaml")
    hypothesis = file.hypothesis

    # The model does not say what the last row declares; nobody judges by it or finds by it.
    [dropped] = [p for p in told["prompts"] if p["fate"] == "dropped"]
    assert dropped["why"] == "the model says something else" and dropped["top"] != dropped["answer"]
    assert dropped["name"] not in hypothesis.prompts
    assert f"{dropped['name']} (" in file.text

    # Sets come from discovery prompts, judged are held-out ones.
    held_out = {name for name, prompt in hypothesis.prompts.items() if prompt.held_out}
    sources = {n for node in hypothesis.supernodes.values() for n in node.found_on}
    assert sources == set(hypothesis.prompts) - held_out and len(sources) == 12
    [swaps] = hypothesis.swaps.values()
    assert set(swaps.prompts) == held_out
    assert {c: len(names) for c, names in swaps.concepts.items()} == {
        f"v{value}": 5 for value in VALUES
    }

    # What was registered is the file, and nothing held out was measured.
    found = registered(Path("reports"), "values")
    assert found is not None and found.sha256 == told["sha256"]
    assert not list(Path("reports").glob("values/*/run.json"))

    # Every threshold by hand.
    assert {each["at"] for each in told["tried"]} == {"city"}
    [chosen] = [each for each in told["tried"] if each["is_chosen"]]
    low, _ = wilson(chosen["n_right"], chosen["n_swaps"])
    assert swaps.mostly == pytest.approx(max(0.5, int(low * 20) / 20))
    [(name, spec)] = hypothesis.interventions.items()
    assert name == f"{told['expected']['recipient']}_to_{told['expected']['donor']}"
    assert str(told["expected"]["rises_by"]) in str(as_declared(hypothesis)["interventions"])
    assert spec.doses is not None and spec.clamp.keys() == {spec.doses.of}
    best = max(each["n_right"] for each in told["tried"]) / chosen["n_swaps"]
    earlier = told["tried"][: told["tried"].index(chosen)]
    assert all(e["n_right"] / e["n_swaps"] < best - 0.05 for e in earlier)
    assert "planted" not in result.out and max(map(len, result.out.splitlines())) <= 80


def keep_two_values() -> None:
    """Of the table, the rows of two values alone."""
    lines = Path("cities.csv").read_text().splitlines()
    some = [line for line in lines if ",v2," not in line and ",v3," not in line]
    Path("cities.csv").write_text("\n".join(some))


def test_what_is_tried_is_what_a_run_of_the_file_measures(propose: Command, planted):
    """The swaps on discovery prompts, measured again by a run over them."""
    keep_two_values()
    assert propose("--name", "again", "--json", "p.json").code == 0
    told = json.loads(Path("p.json").read_text())
    data = as_declared(read("again.yaml").hypothesis)
    [chosen] = [each for each in told["tried"] if each["is_chosen"]]
    fates = {p["name"]: p for p in told["prompts"]}
    on = {n: names for n, node in data["supernodes"].items() for names in [node["select"]["on"]]}
    data = {k: v for k, v in data.items() if k not in ("necessity", "interventions")}
    pair = {"logit_diff": [told["answers"]["v1"], told["answers"]["v0"]], "rises_by": 0.5}
    run = tracer.run(
        tracer.Hypothesis.model_validate(
            data
            | {"prompts": {n: p for n, p in data["prompts"].items() if not p.get("held_out")}}
            | {"hypothesis": "by_hand", "swaps": {"s": {"concepts": on, "off": None}}}
            | {"interventions": {"i": {"prompts": on["v0"], "clamp": {"v1": 1}, "expect": [pair]}}}
        )
    )
    record, n_right = run.record, 0
    for own, donor in ((a, b) for a in on for b in on if a != b):
        for prompt in on[own]:
            trial = record.interventions[f"s.{own}-{donor}"].trials[prompt]
            n_right += trial.reading.top[0].token == told["answers"][donor]
    assert (n_right, 2 * 3) == (chosen["n_right"], chosen["n_swaps"])
    changes: list[float] = []
    for prompt in on["v0"]:
        after, before = (
            record.interventions["i"].trials[prompt].reading.tokens,
            record.prompts[prompt].baseline.tokens,
        )
        one, other = told["answers"]["v1"], told["answers"]["v0"]
        changes.append(
            (after[one].logit - after[other].logit) - (before[one].logit - before[other].logit)
        )
    if told["expected"]["recipient"] == "v0":
        asked = told["expected"]["rises_by"]
        assert asked == pytest.approx(int(statistics.median(changes) * 5 + 1e-6) / 10)
    assert all(fates[prompt]["fate"] == "discovery" for names in on.values() for prompt in names)


def test_run_judges_it_and_says_how_it_ended(propose: Command):
    keep_two_values()
    result = propose("--name", "judged", "--run", "--json", "p.json", "--quiet")
    told = json.loads(Path("p.json").read_text())
    assert told["run"]["verdict"]["verdict"] == "consistent", told["run"]
    assert result.code == told["run"]["exit_code"]
    record = json.loads(next(Path("reports").glob("judged/*/run.json")).read_text())
    assert record["registration"]["sha256"] == told["sha256"]
    again = propose("--name", "judged", "--file", "other.yaml")
    assert again.code == 4 and "a registration is for good: choose another --name" in again.err


def test_what_cannot_be_proposed_from_is_told_before_anything_is_measured(propose: Command):
    Path("taken.yaml").touch()
    for arguments, told in (
        (("--name", "taken"), "taken.yaml is there already"),
        (("--name", "a b"), "letters, digits"),
        (("--file", "x.txt"), "its name ends in .yaml"),
        (("--prompts", "cities.csv"), "both are given"),
        (("--features", "nowhere"), "nowhere"),
    ):
        result = propose(*arguments)
        assert result.code == 4 and told in result.err, result.err
    text = Path("cities.csv").read_text()
    Path("cities.csv").write_text(text.replace(",v1,", ",v1, and"))
    result = propose()
    assert result.code == 4 and result.err.count("cities.csv:") == 8, result.err
    assert not Path("proposed.yaml").exists() and not list(Path("reports").glob("*"))


def test_prompts_that_the_model_cannot_do_leave_nothing_to_propose(propose: Command):
    lines = Path("cities.csv").read_text().splitlines()
    answers = [line.rsplit(",", 1)[1] for line in lines[1:]]
    each = [*dict.fromkeys(answers)]
    swapped = dict(zip(each, each[1:] + each[:1], strict=True))
    rows = [f"{line.rsplit(',', 1)[0]},{swapped[line.rsplit(',', 1)[1]]}" for line in lines[1:]]
    Path("cities.csv").write_text("\n".join([lines[0], *rows]))
    result = propose()
    assert result.code == 4
    assert "no better than with shuffled ones (p 1.00)" in result.err
