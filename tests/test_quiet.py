from transformers.utils import logging

from tracer.engine.model.hf_load import quiet


def test_it_is_quiet_inside_and_as_before_after():
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with quiet():
        assert logging.get_verbosity() == logging.ERROR
        assert not logging.is_progress_bar_enabled()
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
