"""Levels on exact nulls, and what counts as one that is passed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tracer.cli.documents.selftest import LevelFacts
from tracer.cli.selftest import calibration
from tracer.cli.selftest.calibration import Level, levels
from tracer.engine.other_sets import other_sets


def test_every_level_is_kept(monkeypatch):
    monkeypatch.setattr(calibration, "N_TESTS", 2_000)
    monkeypatch.setattr(calibration, "N_OUTCOMES", 1_000)
    monkeypatch.setattr(calibration, "GROUPS", {6: 500, 9: 500, 20: 100})
    found = levels(0)
    assert len(found) == 12
    assert all(level.is_kept for level in found)
    assert found == levels(0) != levels(1)


def test_sets_without_the_members_of_the_real_one_fire_too_often(monkeypatch):
    """What the other sets of heads were once drawn from: the level tells."""

    def apart(pools, own, n, seed):
        left = [
            [head for head in pool if head not in k] for pool, k in zip(pools, own, strict=True)
        ]
        return other_sets(
            left, [each[: len(k)] for each, k in zip(left, own, strict=True)], n, seed
        )

    monkeypatch.setattr(calibration, "N_TESTS", 4_000)
    monkeypatch.setattr(calibration, "N_OUTCOMES", 100)
    monkeypatch.setattr(calibration, "GROUPS", {})
    monkeypatch.setattr(calibration, "other_sets", apart)
    kept = {level.name: level.is_kept for level in levels(0)}
    assert not kept["2 of 16 heads"] and not kept["3 of 16 heads"]


def test_a_test_that_is_wrong_too_often_is_seen(monkeypatch):
    monkeypatch.setattr(calibration, "N_TESTS", 2_000)
    monkeypatch.setattr(calibration, "N_OUTCOMES", 100)
    monkeypatch.setattr(calibration, "GROUPS", {})
    monkeypatch.setattr(calibration, "monte_carlo_p", lambda *_: 0.04)
    assert [level.is_kept for level in levels(0)][:2] == [False, True]


@pytest.mark.parametrize(("n_wrong", "kept"), [(0, True), (58, True), (72, True), (73, False)])
def test_a_level_may_be_passed_by_its_error(n_wrong, kept):
    level = Level("null", 0.05, 1000, n_wrong)
    assert level.is_kept == kept
    assert LevelFacts.model_validate(level).kept == kept


def test_it_needs_no_torch():
    code = "import sys, tracer.cli.selftest.calibration; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
