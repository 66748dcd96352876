import numpy as np
import pytest
import yaml

from tests.bench import TINY
from tests.test_measuring_shared import PROMPTS, TRANSLATIONS
from tests.test_study_shared import EXCEEDS, EYES, shared
from tracer.cli.app import run_command
from tracer.evidence.judge import judge_run
from tracer.report.render import render
from tracer.report.sections.shared import shared_views


def test_two_lines_by_layer():
    record, arrays = shared(EYES, EXCEEDS)
    [view] = shared_views(record, arrays)
    [split] = view.splits
    assert (split.split, split.lists) == ("discovery", "5 meanings")
    translations, unrelated = split.plot.lines
    assert translations.title == "translations: layer 0 50 %, layer 1 10 %"
    assert unrelated.title == "unrelated: layer 0 10 %, layer 1 10 %"
    top, *_ = [y for _, y in translations.points]
    low, *_ = [y for _, y in unrelated.points]
    zero = split.plot.y_ticks[0].at
    assert (zero - top) / (zero - low) == pytest.approx(5)
    page = render(record, judge_run(record, arrays), arrays)
    assert "Features shared across languages" in page
    assert "Against matched controls" not in page


def test_silent_layers_leave_a_gap():
    [view] = shared_views(*shared([EYES[0], np.full((5, 5), np.nan)], EXCEEDS))
    assert [len(line.points) for line in view.splits[0].plot.lines] == [1, 1]


def test_a_file_about_translations_alone_runs(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    expect = [{"overlap": [0, 1], "above": 0.01}]
    data = {key: TINY[key] for key in ("hypothesis", "claim")} | {
        "expected": "consistent",
        "model": {"name": str(tiny), "device": "cpu"},
        "prompts": PROMPTS,
        "shared": {"pair": {"translations": [list(t) for t in TRANSLATIONS], "expect": expect}},
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
    assert run_command(["run", "tiny.yaml", "--out", "out"]) == 0
    [folder] = (tmp_path / "out" / "tiny").glob("*/")
    assert "Features shared across languages" in (folder / "report.html").read_text()
    assert run_command(["plan", "tiny.yaml"]) == 0
    data["shared"]["pair"]["expect"][0]["overlap"] = [0, 7]
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
    assert run_command(["run", "tiny.yaml", "--out", "out"]) == 4
    assert "layer 7 is out of range; the last is 1" in capsys.readouterr().err
