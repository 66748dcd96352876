import numpy as np
import pytest
from records import change, make_record

from tracer.errors import UsageError
from tracer.record.arrays import check_arrays, check_forms

STEM = "controls/ablate_texas/plano"


def test_the_arrays_of_a_run_fit_its_record():
    check_arrays(*make_record())


def test_without_controls_no_array_is_needed():
    record, _ = make_record(n_controls=0)
    check_arrays(record, {})


@pytest.mark.parametrize(
    ("what", "value", "sentence"),
    [
        ("logits", None, "'controls/ablate_texas/plano/logits' is missing"),
        ("logits", np.zeros((99, 3)), r"has shape \[99, 3\], not \[99, 2\]"),
        ("logsumexp", np.zeros(98), r"has shape \[98\], not \[99\]"),
        ("top", np.zeros(99), "'controls/ablate_texas/plano/top' holds float64"),
    ],
)
def test_arrays_that_do_not_fit_are_told(what, value, sentence):
    record, arrays = make_record()
    arrays[f"{STEM}/{what}"] = value
    if value is None:
        del arrays[f"{STEM}/{what}"]
    with pytest.raises(UsageError, match="measurements do not fit its record: .*" + sentence):
        check_arrays(record, arrays)


def test_what_is_left_out_is_told_only_where_it_is_needed():
    record, arrays = make_record()
    check_forms(record, {})
    arrays[f"{STEM}/top"] = np.zeros((99, 1), dtype=np.int64)
    with pytest.raises(UsageError, match=r"'controls/.*/top' has shape \[99, 1\], not \[99\]"):
        check_forms(record, arrays)


def test_all_misfits_are_told_at_once():
    record, arrays = make_record()
    record = change(record, "interventions.ablate_texas.trials.plano.n_controls", 3)
    with pytest.raises(UsageError) as caught:
        check_arrays(record, arrays)
    assert len(str(caught.value).splitlines()) == 3
