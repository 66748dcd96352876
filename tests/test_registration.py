"""What was declared before measuring is kept, and what differs from it later is told."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

import tracer.engine.session
from tests.bench import TINY
from tests.command import call, write_file
from tests.records import HYPOTHESIS, change, make_record
from tests.tiny_file import write_tiny
from tracer.engine.progress import Silent
from tracer.engine.run import measure
from tracer.errors import HypothesisError, UsageError
from tracer.evidence.judge import judge_run
from tracer.hypothesis.load import read
from tracer.hypothesis.spec import Hypothesis
from tracer.record import run_folder, runs
from tracer.record.files import create_text
from tracer.record.registration import REGISTERED, register, registered, registration_of
from tracer.report.render import page_view, render
from tracer.report.sections.registry import ReportData

SWAP = "texas_to_california"
EXPECT = f"interventions.{SWAP}.expect"
DIFF = [" Sacramento", " Austin"]
DAY = "2026-01-01T10:00:00+00:00"


def declared(**changes):
    """The hypothesis of the records, its swap's expectations replaced where they are given."""
    data = json.loads(json.dumps(HYPOTHESIS))
    data["interventions"][SWAP]["expect"] = changes.pop(
        "expect", data["interventions"][SWAP]["expect"]
    )
    return Hypothesis.model_validate(data | changes)


def post_hoc(asked, before=None):
    """Judge a run that carries the registration of `before`."""
    record, arrays = make_record()
    registration = registration_of(before or declared(), DAY)
    record = change(change(record, "registration", registration), "hypothesis", asked)
    return record, judge_run(record, arrays), arrays


def test_what_was_registered_is_no_news():
    for asked in (
        declared(),
        declared(model="other", features="elsewhere/set", tags=["x"], source=None),
        declared(expect=list(reversed(HYPOTHESIS["interventions"][SWAP]["expect"]))),
    ):
        _, verdict, _ = post_hoc(asked)
        assert verdict.post_hoc == () and verdict.registered.at == DAY
        assert not any("post hoc" in caveat for caveat in verdict.caveats)


def test_expectations_changed_added_and_left_out_are_named():
    asked = declared(
        expect=[
            {"rank": " Sacramento", "at_most": 3},
            {"top": " Sacramento"},
            {"logit_diff": DIFF, "above": 0.5},
        ],
        seed=3,
    )
    _, verdict, _ = post_hoc(asked)
    assert verdict.post_hoc == (
        "seed: registered with 0, judged with 3",
        f"{EXPECT}[2].above: registered with 1.0, judged with 0.5",
        f"{EXPECT}[2]: left out, {{'beats_controls': 0.05, 'logit_diff': {DIFF!r}}}",
        f"{EXPECT}[0]: added, {{'rank': ' Sacramento', 'at_most': 3}}",
    )


def test_the_first_screen_and_json_tell_it():
    tests = HYPOTHESIS["interventions"][SWAP]["expect"]
    changed = tests[1] | {"above": 0.5}
    asked = declared(expect=[tests[0], changed, tests[2], {"top_is_not": " Austin"}])
    record, verdict, arrays = post_hoc(asked)
    assert verdict.post_hoc == (
        f"{EXPECT}[1].above: registered with 1.0, judged with 0.5",
        f"{EXPECT}[3]: added, {{'top_is_not': ' Austin'}}",
    )
    assert verdict.caveats[0] == (
        f"post hoc: expectations {EXPECT}[1], {EXPECT}[3] changed, added or left out after it was "
        "registered on 2026-01-01 10:00 UTC"
    )
    page = page_view(ReportData(record, verdict, arrays))
    assert page.verdict.post_hoc == "Post hoc: 2 parts of the file changed after the registration."
    assert "registered 2026-01-01 10:00 UTC" in page.facts
    html = render(record, verdict, arrays)
    banner = html[html.index("<header") : html.index("</header>")]
    assert "2 parts of the file changed after the registration" in banner
    assert json.loads(verdict.model_dump_json())["registered"]["at"] == DAY


def test_held_out_prompts_changed_afterwards_are_told():
    prompts = json.loads(json.dumps(HYPOTHESIS["prompts"]))
    prompts["plano"]["city"] = "Waco"
    prompts["lubbock"]["held_out"] = False
    _, verdict, _ = post_hoc(declared(prompts=prompts))
    assert verdict.post_hoc == (
        "prompts.plano.city: registered with 'Plano', judged with 'Waco'",
        "prompts.lubbock.held_out: registered with true, judged with false",
    )
    assert verdict.caveats[0].startswith("post hoc: prompts.plano.city, prompts.lubbock.held_out")


def test_judging_again_is_held_against_what_was_registered_not_what_was_measured():
    loose = declared(expect=[{"logit_diff": DIFF, "above": 0.5}])
    strict = declared(expect=[{"logit_diff": DIFF, "above": 1.0}])
    record, verdict, arrays = post_hoc(loose, before=strict)
    assert verdict.post_hoc
    assert judge_run(record, arrays, hypothesis=strict).post_hoc == ()
    other = declared(expect=[{"logit_diff": DIFF, "above": 2.0}])
    assert judge_run(record, arrays, hypothesis=other).post_hoc == (
        f"{EXPECT}[0].above: registered with 1.0, judged with 2.0",
    )


def test_it_is_written_once(tmp_path):
    first = register(tmp_path, declared(), datetime(2026, 1, 1, tzinfo=UTC))
    path = tmp_path / "two_hop" / REGISTERED
    before = path.read_bytes()
    again = register(tmp_path, declared(claim="Another."), datetime(2026, 2, 1, tzinfo=UTC))
    assert again == first and path.read_bytes() == before
    with pytest.raises(FileExistsError):
        create_text(path, "mine")
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == [REGISTERED]


def test_an_edited_registration_is_refused(tmp_path):
    register(tmp_path, declared(), datetime(2026, 1, 1, tzinfo=UTC))
    path = tmp_path / "two_hop" / REGISTERED
    path.write_text(path.read_text().replace("above: 1.0", "above: 0.1"))
    with pytest.raises(UsageError, match="the hash is not that of what is declared: it was edited"):
        register(tmp_path, declared(), datetime(2026, 1, 1, tzinfo=UTC))
    path.write_text("{")
    with pytest.raises(UsageError, match="cut short, or not JSON"):
        registered(tmp_path, "two_hop")


def test_deleting_it_does_not_begin_anew(tmp_path):
    record, _ = make_record()
    runs.create(tmp_path, record)
    found = register(tmp_path, declared(claim="Later."), datetime(2026, 5, 1, tzinfo=UTC))
    assert found.registered == record.started
    assert found.sha256 == registration_of(record.hypothesis, "").sha256


@pytest.fixture
def file(tiny, tmp_path):
    return write_tiny(tmp_path, tiny)


def test_a_run_registers_before_the_first_pass(file, tmp_path, monkeypatch):
    reports = tmp_path / "reports"

    def no_pass(*_):
        assert registered(reports, "tiny") is not None
        raise KeyboardInterrupt

    monkeypatch.setattr(tracer.engine.session, "open_context", no_pass)
    with pytest.raises(KeyboardInterrupt):
        measure(read(str(file)), reports=reports, progress=Silent())
    assert registered(reports, "tiny") is not None


def test_what_the_model_cannot_have_is_told_before_anything_is_registered(tiny, tmp_path):
    interventions = json.loads(json.dumps(TINY["interventions"]))
    next(iter(interventions.values()))["expect"] = [{"top": " two tokens or more"}]
    path = write_tiny(tmp_path, tiny, interventions=interventions)
    with pytest.raises(HypothesisError):
        measure(read(str(path)), reports=tmp_path / "reports", progress=Silent())
    assert registered(tmp_path / "reports", "tiny") is None


def test_a_later_run_of_a_changed_file_is_post_hoc(file, tiny, tmp_path):
    reports = tmp_path / "reports"
    first = run_folder.read_record(measure(read(str(file)), reports=reports, progress=Silent()))
    assert first.registration == registered(reports, "tiny")
    changed = write_tiny(tmp_path, tiny, claim="Something else.", seed=7)
    folder = measure(read(str(changed)), reports=reports, progress=Silent())
    later = run_folder.read_record(folder)
    assert later.registration == first.registration
    told = judge_run(later, run_folder.read_arrays(folder)).post_hoc
    assert any(text.startswith("claim: registered with") for text in told)
    assert any(text.startswith("seed: registered with 0, judged with 7") for text in told)


def test_register_on_the_command_line(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    file = write_file(Path("a.yaml"), "a")
    done = call(capfd, "register", "a.yaml")
    assert done.code == 0 and done.out.startswith("a: registered on ")
    assert registered(Path("reports"), "a").sha256 in done.out
    assert call(capfd, "register", "a.yaml").code == 0
    file.write_text(file.read_text().replace("above: 1.0", "above: 0.5"))
    refused = call(capfd, "register", "a.yaml")
    assert refused.code == 4
    assert "A new claim needs a name of its own" in refused.err
    assert f"{EXPECT}[1].above: registered with 1.0, judged with 0.5" in refused.err
    assert call(capfd, "register", "a.yaml", "--set", f"{EXPECT}[1].above=1.0").code == 0


def test_an_unchanged_prompt_of_any_character_is_no_news():
    asked = declared(template="the capital\x85of\u2028the \u2029 state of {city} is")
    _, verdict, _ = post_hoc(asked, asked)
    assert verdict.post_hoc == ()
