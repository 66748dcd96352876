"""Claims: written by one generator, true and false ones alike, and a few of them tried."""

from __future__ import annotations

import json

import pytest

import tracer.cli.selftest
from tests.command import call
from tracer.cli.selftest.claims import FAMILIES, KINDS, ClaimResult, claims_about
from tracer.cli.selftest.scenes import make_scenes
from tracer.cli.selftest.trials import hypothesis_of, run_trials, try_claim, without_controls
from tracer.engine.progress import Silent
from tracer.hypothesis.load import from_hypothesis
from tracer.hypothesis.spec import Hypothesis

FAST = {
    "values_by_id_true_swap": "confirmed",
    "dead_ends_false_swap": "refuted",
    "at_another_word_false_ablation": "refuted",
}
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
        [spec] = file.hypothesis.interventions.values()
        held_out = [file.hypothesis.prompts[prompt].held_out for prompt in spec.prompts]
        assert (held_out.count(False), held_out.count(True)) == (2, 4)
        assert spec.is_compared


def test_true_and_false_claims_differ_in_their_neurons_alone(scenes):
    _, scene = scenes["two_hop"]
    claims = {claim.name: hypothesis_of(claim, scene) for claim in claims_about("two_hop")}
    for kind in KINDS:
        true, false = (claims[f"{who}_{kind}"] for who in ("values_by_id_true", "dead_ends_false"))
        assert true["interventions"] == false["interventions"]
        assert true["prompts"] == false["prompts"]
        assert true["supernodes"]["one"] != false["supernodes"]["one"]


def test_explicit_neurons_are_those_of_the_construction(scenes):
    planted, scene = scenes["two_hop"]
    places = {role: set(found) for role, found in planted.places.items()}
    for group in ("value", "dead end", "lens"):
        for ids, value in zip(scene.groups[group], (scene.one, scene.other), strict=True):
            read = {tuple(map(int, text.split("_"))) for text in ids}
            assert read == places[(0, group, value)]
    drawn = {tuple(map(int, text.split("_"))) for side in scene.groups["random"] for text in side}
    assert not drawn & set().union(*places.values())


def test_wrong_labels_are_of_other_values(scenes):
    _, scene = scenes["two_hop"]
    mine = {scene.answer(scene.one), scene.answer(scene.other)}
    for claim in claims_about("two_hop"):
        if claim.family.source == "wrong labels":
            data = hypothesis_of(claim, scene)
            for node in ("one", "other"):
                rule = data["supernodes"].get(node, {"select": {"on": []}})["select"]
                assert not {data["prompts"][name]["answer"] for name in rule["on"]} & mine


def test_a_few_claims_come_out_as_they_are(scenes, tmp_path):
    _, scene = scenes["two_hop"]
    for number, claim in enumerate(claims_about("two_hop")):
        if claim.name in FAST:
            found = try_claim(claim, scene, tmp_path / str(number))
            assert found.verdict == FAST[claim.name], claim.name
            assert (tmp_path / str(number) / claim.name).is_dir()


def test_comparisons_with_controls_can_be_left_out(scenes):
    _, scene = scenes["two_hop"]
    for claim in claims_about("two_hop"):
        parsed = Hypothesis.model_validate(hypothesis_of(claim, scene))
        [before], [after] = (h.interventions.values() for h in (parsed, without_controls(parsed)))
        assert len(after.expect) == len(before.expect) - 1
        assert not after.is_compared


def test_trials_leave_nothing_behind_unless_asked(monkeypatch, tmp_path):
    kept = FAMILIES[2:3]
    monkeypatch.setattr("tracer.cli.selftest.claims.FAMILIES", kept)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "kept").mkdir()
    monkeypatch.setattr("tracer.cli.selftest.claims.KINDS", ("swap",))
    few = kept[0]._replace(kinds=("swap",))
    monkeypatch.setattr("tracer.cli.selftest.claims.FAMILIES", (few,))
    first = run_trials(1, 0, None, Silent())
    assert list((tmp_path / "temporary").iterdir()) == []
    assert first == run_trials(1, 0, tmp_path / "kept", Silent())
    assert [v.verdict for v in first] == ["confirmed"]
    assert list((tmp_path / "kept").rglob("report.html"))


@pytest.mark.parametrize(("confirmed", "code"), [(0, 0), (3, 1)])
def test_the_command_prints_rates_and_ends_by_them(capfd, monkeypatch, tmp_path, confirmed, code):
    def trials(n_models, seed, out, progress):
        assert (n_models, seed, out) == (2, 7, None)
        words = ["confirmed"] * confirmed + ["refuted"] * (100 - confirmed)
        return [
            *(ClaimResult("dead ends", "swap", "false", word, "confirmed") for word in words),
            *[ClaimResult("values, by id", "swap", "true", "confirmed", "confirmed")] * 10,
            ClaimResult("shortcut, by rule", "shift", "open", "confirmed", "confirmed"),
        ]

    fake = type("Trials", (), {"run_trials": staticmethod(trials)})
    monkeypatch.setattr(tracer.cli.selftest, "trials", fake)
    path = tmp_path / "rates.json"
    result = call(capfd, "selftest", "--models", "2", "--seed", "7", "--json", str(path))
    assert result.code == code
    assert f"false positives: {confirmed} of 100" in result.out
    assert "false negatives: 0 of 10, 0.0 % (0.0 to 27.8 %); goal ≤ 10.0 %" in result.out
    assert all(len(line) <= 80 for line in result.out.splitlines())
    data = json.loads(path.read_text())
    assert data["exit_code"] == code
    assert data["false"]["all"]["errors"] == confirmed
    assert data["false"]["all"]["stopped"] == 100 - confirmed
