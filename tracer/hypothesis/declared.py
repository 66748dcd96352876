"""The base of everything a file declares, and the names that it gives."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints


class Declared(BaseModel):
    """Base of everything a file declares."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
"""A name the file gives to a prompt, supernode or intervention; also safe as part of a path."""
WHAT_NAMES_ARE = "letters, digits, '_' and '-' after a letter or '_', at most 64 in all"


def is_name(text: str) -> bool:
    """Whether a file may give this name."""
    return re.fullmatch(NAME_PATTERN, text) is not None
