from __future__ import annotations

import pytest

import tracer
from tests.dashboards import put_run, start, texts
from tests.records import YAML
from tracer.dashboard import job, model
from tracer.dashboard.author.author_page import checked, summary
from tracer.dashboard.dashboard import JOINER
from tracer.dashboard.job import Job, Snapshot, Step
from tracer.errors import HypothesisError
from tracer.hypothesis.given import prompts_of
from tracer.hypothesis.load import read
from tracer.hypothesis.yaml_text import MAX_BYTES


def labelled(app, label):
    return next(button for button in app.button if button.label == label)


def test_a_text_is_checked_as_its_file_would_be(tmp_path):
    bent = YAML.replace("top: 40", "topp: 40", 1).replace("mostly", "mostly")
    path = tmp_path / "x.yaml"
    path.write_text(bent)
    with pytest.raises(Exception, match="topp") as caught:
        read(str(path))
    found = checked(bent)
    assert found.hypothesis is None
    assert [row["line"] for row in found.mistakes] == [m.line for m in caught.value.mistakes]
    assert "topp" in str(found.mistakes[0])


@pytest.mark.parametrize("text", ["", "[", "- 1", "a: b", "\x00", "🔬: :", "[" * 5000, "&a [*a]"])
def test_any_text_has_mistakes_and_no_traceback(text):
    assert checked(text).hypothesis is None
    assert checked(text).mistakes


def test_a_sound_text_is_summed_up():
    found = checked(YAML)
    assert found.hypothesis is not None
    assert summary(found.hypothesis).startswith("5 prompts, 3 supernodes, 2 interventions, ")


def test_one_begins_from_the_starter(tmp_path, monkeypatch):
    app = start(monkeypatch, tmp_path, "author")
    assert not app.exception
    assert app.text_area[0].value.startswith("# A hypothesis")
    assert app.success[0].value == "No mistakes"


def test_mistakes_stand_with_their_lines(tmp_path, monkeypatch):
    app = start(monkeypatch, tmp_path, "author")
    app.text_area[0].set_value("hypothesis: x\nclaims: y\n").run()
    assert not app.exception
    assert any("**line 2**" in each.value for each in app.markdown)
    assert labelled(app, "Run").disabled


def test_a_draft_is_saved_once_and_then_over_what_was_seen(tmp_path, monkeypatch):
    app = start(monkeypatch, tmp_path, "author")
    app.text_area[0].set_value(YAML).run()
    app.text_input[0].set_value("mine").run()
    app.button[0].click().run()
    path = tmp_path / "drafts" / "mine.yaml"
    assert path.read_text() == YAML
    assert app.selectbox(key="from").value == "draft/mine"
    app.text_area[0].set_value(YAML + "# more\n").run()
    app.button[0].click().run()
    assert path.read_text() == YAML + "# more\n"
    path.write_text("changed elsewhere")
    app.text_area[0].set_value(YAML).run()
    app.button[0].click().run()
    assert path.read_text() == "changed elsewhere"
    assert "Not saved: the draft 'mine' was changed by someone else" in texts(app)
    assert not app.exception


def test_a_draft_of_that_name_is_not_overwritten(tmp_path, monkeypatch):
    (tmp_path / "drafts").mkdir()
    (tmp_path / "drafts" / "mine.yaml").write_text("mine")
    app = start(monkeypatch, tmp_path, "author")
    app.text_input[0].set_value("mine").run()
    app.button[0].click().run()
    assert "Not saved: there is a draft 'mine' already." in texts(app)
    app.text_input[0].set_value("../mine").run()
    app.button[0].click().run()
    assert "is no name of a draft" in texts(app)
    assert (tmp_path / "drafts" / "mine.yaml").read_text() == "mine"


def test_edits_are_dropped_only_when_that_is_said(tmp_path, monkeypatch):
    (tmp_path / "drafts").mkdir()
    (tmp_path / "drafts" / "other.yaml").write_text("other: 1")
    app = start(monkeypatch, tmp_path, "author")
    app.text_area[0].set_value("edited").run()
    app.selectbox(key="from").set_value("draft/other").run()
    assert app.text_area[0].value == "edited"
    app.button[0].click().run()
    assert app.text_area[0].value == "other: 1"


def test_an_address_opens_the_file_of_a_run(tmp_path, monkeypatch):
    folder = put_run(tmp_path / "reports")
    app = start(monkeypatch, tmp_path, "author", {"from": f"run/two_hop/{folder.name}"})
    assert app.text_area[0].value == YAML
    assert not app.exception


@pytest.mark.parametrize("asked", ["draft/../../etc/passwd", "run/../x", "/etc/passwd"])
def test_an_address_opens_nothing_else(tmp_path, monkeypatch, asked):
    app = start(monkeypatch, tmp_path, "author", {"from": asked})
    assert app.selectbox(key="from").value == "starter"
    assert not app.exception


class Stub(Job):
    """A run that stands as it was told."""

    def __init__(self, now):
        self._now = now


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (Snapshot("x.yaml", (Step("clamping", 4, 1),)), "Stop"),
        (Snapshot("x.yaml", ended=True, problem="no such <b>model</b>"), "no such <b>model</b>"),
        (Snapshot("x.yaml", ended=True, run="two_hop/1", verdict="confirmed"), "two_hop/1"),
    ],
)
def test_a_run_is_followed(tmp_path, monkeypatch, now, told):
    jobs = job.Jobs()
    jobs._job = Stub(now)
    monkeypatch.setattr(job, "jobs", lambda: jobs)
    monkeypatch.setattr("tracer.dashboard.author.author_page.jobs", lambda: jobs)
    app = start(monkeypatch, tmp_path, "author")
    assert not app.exception
    assert told in texts(app) + " ".join(button.label for button in app.button)
    running = app.status[0].state == "running"
    assert running == (not now.ended)


def test_a_saved_draft_is_run(tmp_path, monkeypatch):
    started = []
    jobs = job.Jobs()
    monkeypatch.setattr(jobs, "start", lambda file, reports: started.append((file, reports)))
    monkeypatch.setattr("tracer.dashboard.author.author_page.jobs", lambda: jobs)
    monkeypatch.setattr(job, "jobs", lambda: jobs)
    monkeypatch.chdir(tmp_path)
    app = start(monkeypatch, tmp_path, "author")
    assert labelled(app, "Run").disabled
    app.text_area[0].set_value(YAML).run()
    app.button[0].click().run()
    run = labelled(app, "Run")
    assert not run.disabled
    run.click().run()
    ((file, reports),) = started
    assert (str(file), reports) == ("drafts/two_hop.yaml", tmp_path / "reports")
    assert "tracer run drafts/two_hop.yaml" in texts(app)


def test_a_file_of_the_hypotheses_folder_is_edited_as_a_draft(tmp_path, monkeypatch):
    path = tmp_path / "hypotheses" / "published" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(YAML)
    app = start(monkeypatch, tmp_path, "author", {"from": "file/published/mine.yaml"})
    assert app.text_area[0].value == YAML
    app.text_area[0].set_value(YAML + "# mine\n").run()
    next(each for each in app.button if each.label == "Save draft").click().run()
    assert not app.exception
    assert path.read_text() == YAML
    assert (tmp_path / "drafts" / "two_hop.yaml").read_text() == YAML + "# mine\n"


def test_mistakes_stand_as_the_command_line_tells_them(tmp_path, monkeypatch):
    path = tmp_path / "hypotheses" / "bent.yaml"
    path.parent.mkdir()
    path.write_text(YAML.replace("claim:", "claims:"))
    monkeypatch.chdir(tmp_path)
    app = start(monkeypatch, tmp_path, "author", {"from": "file/bent.yaml"})
    with pytest.raises(HypothesisError) as told:
        read("hypotheses/bent.yaml")
    page = texts(app).replace("\\", "").replace(JOINER, "")
    for mistake in told.value.mistakes:
        place = f"hypotheses/bent.yaml:{mistake.line}:{mistake.column}"
        assert f"**line {mistake.line}** {place} · {mistake.where}" in page
        assert f"{place}: {mistake.where}: {mistake.message}" in str(told.value)
        assert mistake.message in page


def upload(app, name, content):
    app.file_uploader[0].set_value((name, content, "application/yaml")).run()
    assert not app.exception
    return app


def test_an_upload_is_opened_and_kept_nowhere(tmp_path, monkeypatch):
    app = upload(start(monkeypatch, tmp_path, "author"), "my own.yaml", YAML.encode())
    assert app.text_area[0].value == YAML
    assert app.selectbox(key="from").value == "upload/my own.yaml"
    assert app.success[0].value == "No mistakes"
    assert not (tmp_path / "drafts").exists()


def test_an_upload_does_not_drop_edits_unasked(tmp_path, monkeypatch):
    app = start(monkeypatch, tmp_path, "author")
    app.text_area[0].set_value("edited").run()
    upload(app, "x.yaml", YAML.encode())
    assert app.text_area[0].value == "edited"
    app.button[0].click().run()
    assert app.text_area[0].value == YAML


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"claim: \xff\n", "x.yaml:1: byte 0xff is not UTF-8"),
        (b"#" * (MAX_BYTES + 1), "x.yaml: the file is larger than 1 MiB"),
    ],
)
def test_an_upload_that_is_no_text_is_told(tmp_path, monkeypatch, content, told):
    app = upload(start(monkeypatch, tmp_path, "author"), "x.yaml", content)
    assert f"Not opened: {told}" in texts(app)
    assert app.selectbox(key="from").value == "starter"


def test_mistakes_of_an_upload_name_it(tmp_path, monkeypatch):
    app = upload(start(monkeypatch, tmp_path, "author"), "<b>x</b>.yaml", b"hypothesis: x\na: b\n")
    page = texts(app).replace(JOINER, "")
    assert "**line 2** \\<b\\>x\\<\\/b\\>\\.yaml\\:2\\:1" in page
    assert "upload/<b>x</b>.yaml" in app.selectbox(key="from").options


def test_a_line_that_nobody_reads_to_its_end_is_cut_where_it_is_coloured(tmp_path, monkeypatch):
    """100 kB in one line, coloured, held a browser's tab for minutes."""
    long = "claim: " + "{a: [b, c: {d: 1}]}, " * 5_000
    app = start(monkeypatch, tmp_path, "author")
    app.text_area(key="author-text").set_value(f"hypothesis: x\n{long}\n").run()
    assert not app.exception
    code = next(each.value for each in app.code if "more characters" in each.value).splitlines()
    assert code[0] == "hypothesis: x"
    assert code[1] == f"{long[:500]}… ({len(long) - 500:,} more characters)"


ASKED = """
model: {}
template: "The capital of the state containing {{city}} is"
prompts:
  dallas: {{city: Dallas, answer: " Austin"}}
  oakland: {{city: Oakland}}
supernodes: not yet
"""


def test_the_model_is_asked_for_the_prompts_of_a_draft(tmp_path, monkeypatch, tiny):
    app = start(monkeypatch, tmp_path, "author")
    text = ASKED.format(tiny)
    app.text_area[0].set_value(text).run()
    labelled(app, "Ask the model").click().run()
    assert not app.exception, app.exception
    wanted = tracer.Session(str(tiny)).answers(prompts_of("x", text))
    table, cut = (each.value for each in app.dataframe)
    assert list(table["prompt"]) == ["dallas", "oakland"]
    assert [each.split(" ")[0] for each in table["next tokens"]] == [
        repr(answer.top[0].token).split(" ")[0] for answer in wanted
    ]
    assert len(cut) == len(wanted[0].tokens)
    start_, stop = wanted[0].spans["city"]
    named = [n for n, spans in enumerate(cut["spans"]) if "city" in spans]
    assert named == list(range(start_, stop))
    app.text_area[0].set_value(text.replace("Dallas", "Austin")).run()
    assert not app.dataframe
    model.free()


def test_a_model_that_cannot_be_had_is_told_beside_the_draft(tmp_path, monkeypatch):
    app = start(monkeypatch, tmp_path, "author")
    text = ASKED.format("./nowhere")
    app.text_area[0].set_value(text).run()
    labelled(app, "Ask the model").click().run()
    assert not app.exception, app.exception
    assert "nowhere" in app.warning[0].value
