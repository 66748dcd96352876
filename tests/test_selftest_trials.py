"""Claims: written by one generator, true and false ones alike, and a few of them tried."""

from __future__ import annotations

import json

import pytest

import tracer.cli.selftest
from tests.command import call
from tracer.cli.selftest.calibration import Level
from tracer.cli.selftest.claims import claims_about
from tracer.cli.selftest.family import Family
from tracer.cli.selftest.rates import ClaimResult
from tracer.cli.selftest.scenes import make_scenes
from tracer.cli.selftest.trials import hypothesis_of, run_trials, try_claim
from tracer.cli.selftest.world import HeadRole
from tracer.engine.progress import Silent
from tracer.hypothesis.load import from_hypothesis
from tracer.hypothesis.spec import Hypothesis

FAST = {
    "values_by_rule_by_answer_true_swap": "confirmed",
    "values_by_id_by_id_open_swap": "consistent",
    "dead_ends_by_id_false_swap": "refuted",
    "vacuous_by_activation_false_top": "inconclusive",
    "twins_by_activation_false_swap": "consistent",
    "large_sets_by_activation_false_ablation": "consistent",
    "movers_by_rule_by_answer_true_swap": "confirmed",
    "movers_taken_away_by_answer_true_knockout": "consistent",
    "askers_of_a_look_by_activation_true_look": "confirmed",
    "edge_by_movers_by_id_true_carried": "consistent",
    "askers_and_marks_by_id_true_because": "consistent",
    "one_head_of_16_by_id_false_ablation": "inconclusive",
    "look_of_other_heads_by_activation_false_look": "refuted",
    "edge_by_random_heads_by_id_false_carried": "refuted",
}
ALWAYS = (
    "values_by_rule_by_answer_true_swap",
    "dead_ends_by_id_false_swap",
    "vacuous_by_activation_false_top",
    "askers_of_a_look_by_activation_true_look",
    "edge_by_random_heads_by_id_false_carried",
)
"""Tried by every test session; the others by `pytest -m library`."""
"""Claims of the first model of seed 0, and what must become of them."""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A model of each path."""
    found = make_scenes(0, 4, tmp_path_factory.mktemp("scenes"))
    return {scene.path: (planted, scene) for planted, scene in found}


@pytest.mark.parametrize("path", ["two_hop", "shortcut", "memory"])
def test_every_claim_is_a_valid_hypothesis(scenes, path):
    _, scene = scenes[path]
    for claim in claims_about(path):
        parsed = Hypothesis.model_validate(hypothesis_of(claim, scene))
        file = from_hypothesis(parsed)
        if claim.kind in ("carried", "because"):
            assert claim.family.best == "consistent"
            assert parsed.graph is not None and len(parsed.graph.prompts) == 3
            continue
        [spec] = file.hypothesis.interventions.values()
        held_out = [file.hypothesis.prompts[prompt].held_out for prompt in spec.prompts]
        unseen = 5 if claim.family.twins else 6
        assert (held_out.count(False), held_out.count(True)) == (2, unseen)
        assert spec.is_compared != (claim.family.name == "vacuous")
        assert parsed.uses_heads == claim.is_of_heads
        assert spec.is_procedure_compared == (claim.family.donors != "none")


def test_names_of_claims_differ():
    names = [
        claim.name for path in ("two_hop", "shortcut", "memory") for claim in claims_about(path)
    ]
    two_hop = [claim.name for claim in claims_about("two_hop")]
    assert len(set(two_hop)) == len(two_hop)
    assert len(names) > len(two_hop)


def test_true_and_false_claims_by_id_differ_in_their_neurons_alone(scenes):
    _, scene = scenes["two_hop"]
    claims = {claim.name: hypothesis_of(claim, scene) for claim in claims_about("two_hop")}
    for kind in ("ablation", "swap"):
        true = claims[f"values_by_id_by_id_open_{kind}"]
        false = claims[f"dead_ends_by_id_false_{kind}"]
        assert true["interventions"] == false["interventions"]
        assert true["prompts"] == false["prompts"]
        assert true["supernodes"]["one"] != false["supernodes"]["one"]


def test_wrong_donors_are_of_four_other_answers(scenes):
    """Those of the true value are among them where a third one's set is claimed to be its."""
    _, scene = scenes["two_hop"]
    for claim in claims_about("two_hop"):
        data = hypothesis_of(claim, scene)
        names = data["controls"].get("donors", [])
        if not names or claim.family.source == "wrong labels":
            continue
        answers = {data["prompts"][name]["answer"] for name in names}
        rule = data["supernodes"].get("other", data["supernodes"].get("one"))["select"]
        own = {data["prompts"][name]["answer"] for name in rule["on"]}
        assert len(answers) == 4 and not answers & own
        is_shown = claim.family.source == "wrong donors" and claim.family.donors == "given"
        assert (scene.answer(scene.other) in answers) == is_shown


def test_ablations_keep_their_controls_in_range(scenes):
    _, scene = scenes["two_hop"]
    for claim in claims_about("two_hop"):
        data = hypothesis_of(claim, scene)
        if claim.kind in ("carried", "because"):
            continue
        only_takes = set(data["interventions"]["test"].get("clamp", {"one"})) == {"one"}
        assert (data["controls"].get("matched") == "range") == only_takes


def test_explicit_neurons_are_those_of_the_construction(scenes):
    planted, scene = scenes["two_hop"]
    places = {role: set(found) for role, found in planted.places.items()}
    for group in ("value", "dead end", "lens", "answer"):
        for ids, value in zip(scene.groups[group], (scene.one, scene.other), strict=True):
            read = {tuple(map(int, text.split("_"))) for text in ids}
            assert read == places[(0, group, value)]
    drawn = {tuple(map(int, text.split("_"))) for side in scene.groups["random"] for text in side}
    assert not drawn & set().union(*places.values())


def test_explicit_heads_are_those_of_the_construction(scenes):
    planted, scene = scenes["two_hop"]
    read = {k: {tuple(map(int, i.split("."))) for i in ids} for k, ids in scene.heads.items()}
    assert read["mover"] == set(planted.heads[HeadRole(0, "mover")])
    assert read["looker"] == set(planted.heads[HeadRole(0, "looker")])
    assert read["other mover"] == set(planted.heads[HeadRole(1, "mover")])
    assert not read["random"] & set().union(*planted.heads.values())
    assert {layer for layer, _ in read["random"]} == {layer for layer, _ in read["mover"]}
    assert [len(each) for each in read.values()] == [2] * 4


def test_false_claims_of_heads_are_written_as_the_true_ones_are(scenes):
    _, scene = scenes["two_hop"]
    claims = {claim.name: hypothesis_of(claim, scene) for claim in claims_about("two_hop")}
    for true, false in (
        ("edge_by_movers_by_id_true_carried", "edge_of_dead_ends_by_id_false_carried"),
        ("movers_taken_away_by_answer_true_knockout", "lookers_by_id_false_knockout"),
        ("askers_and_marks_by_id_true_because", "other_reasons_by_id_false_because"),
    ):
        first, second = claims[true], claims[false]
        assert first.get("interventions") == second.get("interventions")
        assert first.get("graph") == second.get("graph")
        assert first["supernodes"]["one"] != second["supernodes"]["one"]


def test_wrong_labels_are_of_other_values(scenes):
    _, scene = scenes["two_hop"]
    mine = {scene.answer(scene.one), scene.answer(scene.other)}
    for claim in claims_about("two_hop"):
        if claim.family.source == "wrong labels":
            data = hypothesis_of(claim, scene)
            for node in ("one", "other"):
                rule = data["supernodes"].get(node, {"select": {"on": []}})["select"]
                assert not {data["prompts"][name]["answer"] for name in rule["on"]} & mine


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in ALWAYS else [pytest.mark.library]) for n in FAST],
)
def test_a_few_claims_come_out_as_they_are(scenes, tmp_path, name):
    _, scene = scenes["two_hop"]
    [claim] = [each for each in claims_about("two_hop") if each.name == name]
    assert try_claim(claim, scene, tmp_path / "kept").verdict == FAST[name]
    assert (tmp_path / "kept" / name).is_dir()


@pytest.mark.library
def test_trials_leave_nothing_behind_unless_asked(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "kept").mkdir()
    kinds = ("swap",)
    few = Family("few", "two_hop", "values", "activation", kinds, "true", "given")
    monkeypatch.setattr("tracer.cli.selftest.claims.FAMILIES", (few,))
    first = run_trials(1, 0, None, Silent())
    assert list((tmp_path / "temporary").iterdir()) == []
    assert first == run_trials(1, 0, tmp_path / "kept", Silent())
    assert [v.verdict for v in first] == ["confirmed"]
    assert list((tmp_path / "kept").rglob("report.html"))


@pytest.mark.parametrize(("confirmed", "too_often", "code"), [(0, 50, 0), (3, 50, 1), (0, 90, 1)])
def test_the_command_prints_rates_and_ends_by_them(
    capfd, monkeypatch, tmp_path, confirmed, too_often, code
):
    def trials(n_models, seed, out, progress):
        assert (n_models, seed, out) == (2, 7, None)
        words = ["confirmed"] * confirmed + ["refuted"] * (99 - confirmed)
        return [
            *(ClaimResult("dead ends", "swap", "false", word) for word in words),
            *[ClaimResult("values, by rule, difference", "swap", "true", "confirmed")] * 10,
            ClaimResult("twins", "swap", "false", "consistent", ("held-out prompts",)),
            ClaimResult("shortcut, moved", "shift", "open", "confirmed"),
            *[ClaimResult("lookers", "knockout", "false", "refuted", (), True, "consistent")] * 5,
            *[ClaimResult("movers", "knockout", "true", "consistent", (), True, "consistent")] * 9,
        ]

    fake = type("Trials", (), {"run_trials": staticmethod(trials)})
    monkeypatch.setattr(tracer.cli.selftest, "trials", fake)
    level = Level("sum over 10 prompts", 0.05, 1000, too_often)
    monkeypatch.setattr("tracer.cli.selftest.command.levels", lambda seed: [level])
    path = tmp_path / "rates.json"
    result = call(capfd, "selftest", "--models", "2", "--seed", "7", "--json", str(path))
    assert result.code == code
    assert f"false positives, features: {confirmed} of 100" in result.out
    assert "negatives, features: 0 of 10, 0.0 % (0.0 to 30.8 %); goal ≤ 10.0 %" in result.out
    assert "false positives, heads: 0 of 5, 0.0 % (0.0 to 52.2 %)" in result.out
    assert "  of true ones 0 confirmed, 9 consistent, 0 refuted, 0 inconclusive" in result.out
    assert all(len(line) <= 80 for line in result.out.splitlines())
    data = json.loads(path.read_text())
    assert data["exit_code"] == code
    found = data["features"]["false"]
    assert found["all"]["errors"] == confirmed
    assert found["all"]["consistent"] == 1
    assert data["heads"]["true"]["all"]["errors"] == 0
    assert found["lacks"] == {"held-out prompts": 1, "only held-out prompts": 1}
    assert data["calibration"][0]["n_wrong"] == too_often
