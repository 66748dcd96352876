"""A model that is named outside a hypothesis file, on a command line or in Python."""

from __future__ import annotations

from typing import get_args

from pydantic import ValidationError

from tracer.errors import UsageError
from tracer.hypothesis.problem import listed, show
from tracer.hypothesis.spec import Hypothesis, ModelSpec

_DTYPES = get_args(ModelSpec.model_fields["dtype"].annotation)


def named_model(
    name: str | None = None, device: str | None = None, dtype: str | None = None
) -> ModelSpec:
    """The model to load; None takes what a hypothesis file without that key would.

    Raises:
        UsageError: An empty name, or no such dtype.
    """
    given = {
        "name": Hypothesis.model_fields["model"].default if name is None else name,
        "device": device,
        "dtype": dtype,
    }
    try:
        return ModelSpec.model_validate({k: v for k, v in given.items() if v is not None})
    except ValidationError:
        if dtype is not None and dtype not in _DTYPES:
            sentence = f"dtype {show(dtype)} is not known; choose {listed(_DTYPES)}."
            raise UsageError(sentence) from None
        raise UsageError("the model's name is empty; name one of `tracer models`.") from None
