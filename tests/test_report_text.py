"""Untrusted text and numbers, as a person reads them."""

import math

import pytest
from markupsafe import Markup

from tracer.report.text import (
    clean,
    held,
    number,
    p_value,
    percent,
    plural,
    shorten,
    signed,
    text_width,
    visible_token,
)


def test_what_a_browser_would_obey_is_written_out():
    assert clean("a\u202eb\x00c\x1bd\ud800") == "a⟨U+202E⟩b⟨U+0000⟩c⟨U+001B⟩d⟨U+D800⟩"
    assert clean("two\r\nlines\tand a tab") == "two\nlines\tand a tab"


def test_other_writing_stays_as_it_is():
    text = "عربي 反义词 👩‍🔬 é"
    assert clean(text) == text


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("/home/alice/models/x", "~/models/x"),
        ("weights in /Users/bob/m.bin", "weights in ~/m.bin"),
        (r"C:\Users\carol\m.bin", r"~\m.bin"),
        ("/".join(["", "root", "cache"]), "~/cache"),
        ("file:///home/alice/x", "file://~/x"),
        ("https://example.org/home/alice", "https://example.org/home/alice"),
        ("/".join(["hypotheses", "root", "home.yaml"]), "hypotheses/" + "root/home.yaml"),
    ],
)
def test_home_folders_are_stripped(given: str, shown: str):
    assert clean(given) == shown


def test_markup_and_numbers_pass_and_coordinates_lose_what_a_pixel_cannot_show():
    assert clean(Markup("<b>")) == Markup("<b>")
    assert (clean(3), clean(3.0), clean(3.14159), clean(None)) == (3, "3", "3.1", None)


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0.0, "0 %"),
        (0.0004, "<0.1 %"),
        (0.0421, "4.2 %"),
        (0.447, "45 %"),
        (0.995, "99.5 %"),
        (0.9999, ">99.9 %"),
        (1.0, "100 %"),
        (-2.0, "−200 %"),
        (8.0, "800 %"),
        (math.nan, "not a number"),
    ],
)
def test_percent(share: float, shown: str):
    assert percent(share) == shown


def test_a_quoted_token_is_one_piece_of_markup_and_no_more():
    assert held("says ' A' & \"it's\"") == (
        'says <span class="held-token">&#39; A&#39;</span> &amp; '
        '<span class="held-token">&#34;it&#39;s&#34;</span>'
    )
    assert held("the donor's answer; 'x' * 41: '" + "x" * 41 + "'").count("<span") == 1
    assert "<b>" not in held("'<b>' <b>\u202e'\u202e'")
    assert held(Markup("<i>' A'</i>")) == "<i>' A'</i>"


def test_numbers():
    assert (signed(2.324), signed(-1.27), signed(-0.001)) == ("+2.32", "−1.27", "0.00")
    assert (number(math.inf), signed(math.nan)) == ("not a number", "not a number")
    assert (p_value(0.01), p_value(0.0001)) == ("0.010", "<0.001")
    assert (plural(1, "prompt"), plural(9, "prompt")) == ("1 prompt", "9 prompts")


def test_tokens_show_their_spaces_and_are_cut_where_there_is_no_room():
    assert visible_token(" a\n\tb") == r"' a\n\tb'"
    assert visible_token("") == "''"
    assert shorten("abcdef", 4) == "abc…"
    assert shorten("abcd", 4) == "abcd"


def test_wide_writing_is_given_more_room():
    assert text_width("热", 10.0) > text_width("a", 10.0) > text_width("i", 10.0)
