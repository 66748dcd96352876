import pytest
from pydantic import ValidationError

from tracer.hypothesis.names import MODELS, nearest


def test_the_embedded_default_is_in_four_parts():
    package = MODELS["gemma-3-270m"].package
    assert [part.path[-6:] for part in package.parts] == ["part00", "part01", "part02", "part03"]
    assert len(package.sha256) == 64
    assert "[gemma-3-270m]" in package.install


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("gemma3-270m", "gemma-3-270m"), ("SmolLM2", "smollm2-135m"), ("zzz", None)],
)
def test_the_nearest_name(typed: str, meant: str | None):
    assert nearest(typed) == meant


def test_entries_are_fixed():
    with pytest.raises(ValidationError, match="frozen"):
        MODELS["smollm2-135m"].hub = "elsewhere/else"
