from tests.judging import SWAP, expecting
from tests.records import change, make_record
from tracer.evidence.judge import judge_run
from tracer.record.trials import Generated, GeneratedText
from tracer.report.render import render
from tracer.report.sections.texts import text_views


def recorded(**generate):
    keys = expecting({"says": "Sacramento"})
    keys["interventions"][SWAP]["generate"] = {"tokens": 8, **generate}
    record, arrays = make_record(hypothesis=keys)
    texts = Generated(
        clamped=(GeneratedText(text=" <b>Sacramento", token_ids=(1, 2), stopped=True),),
        clean=(GeneratedText(text=" Austin", token_ids=(3,), stopped=False),),
    )
    return change(record, f"interventions.{SWAP}.trials.dallas.generated", texts), arrays


def test_clamped_text_stands_beside_unclamped():
    record, arrays = recorded()
    [view] = text_views(record)
    assert view.how == "8 tokens at most, the most probable each time."
    [row] = view.rows.kept
    assert (row.clean, row.clamped, row.same) == (" Austin…", " <b>Sacramento∎", False)
    page = render(record, judge_run(record, arrays), arrays)
    assert "Generated text" in page
    assert "&lt;b&gt;Sacramento" in page


def test_sampling_is_told():
    [view] = text_views(recorded(temperature=0.7, samples=1)[0])
    assert "1 sample at temperature 0.7, seed 0" in view.how


def test_without_text_there_is_no_section():
    record, arrays = make_record()
    assert text_views(record) == ()
    assert "Generated text" not in render(record, judge_run(record, arrays), arrays)
