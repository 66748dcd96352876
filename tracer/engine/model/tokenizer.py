"""A model's tokenizer alone, and, where tracer wrote its file itself, without transformers.

What a text becomes is in `tokenizer.json`; the library that reads it takes a second for 262,144
tokens, and transformers with torch and the same vocabulary as Python dictionaries ten. Files of
others may need what transformers makes of their other settings, so they are read by it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer as Backend

from tracer.engine import model
from tracer.engine.model.hf_folder import context_length, read_config
from tracer.engine.model.ready import ready_tokenizer
from tracer.engine.model.sources import PackageSource, find_source
from tracer.engine.progress import Progress
from tracer.hypothesis.spec import ModelSpec


class TokenizerOnly(NamedTuple):
    """What can be checked about a prompt without the weights."""

    tokenizer: Any
    """A `tracer.hypothesis.vocabulary.Tokenizer`."""
    config: dict[str, Any]
    """The model's `config.json`."""

    @property
    def context(self) -> int | None:
        """Tokens the model was built for; None where its config does not say."""
        return context_length(self.config)


def open_tokenizer(spec: ModelSpec, progress: Progress) -> TokenizerOnly:
    """Load a model's tokenizer alone; the first time this may convert or download.

    Raises:
        ModelUnavailable: It cannot be had, with what to do about it.
    """
    folder = ready_tokenizer(spec, progress)
    with progress.task("loading the tokenizer"):
        return TokenizerOnly(read_tokenizer(spec, folder), read_config(folder))


def read_tokenizer(spec: ModelSpec, folder: Path) -> Any:
    """The tokenizer in a model's folder, a `tracer.hypothesis.vocabulary.Tokenizer`.

    Raises:
        ModelUnavailable: It cannot be read or used.
    """
    if isinstance(find_source(spec), PackageSource) and not _has_chat_format(folder):
        return PlainTokenizer(folder)
    with model.hf_load.quiet():
        return model.hf_load.load_tokenizer(folder)


def _has_chat_format(folder: Path) -> bool:
    return "chat_template" in _settings(folder) or (folder / "chat_template.jinja").exists()


def _settings(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))


_ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


class PlainTokenizer:
    """`tokenizer.json` as transformers saved it, asked in the same words; it formats no chats."""

    chat_template = None

    def __init__(self, folder: Path) -> None:
        self._backend: Any = Backend.from_file(str(folder / "tokenizer.json"))
        self.folder = folder
        settings = _settings(folder)
        named = {role: settings.get(f"{role}_token") for role in _ROLES}
        ids = {role: self._backend.token_to_id(token) for role, token in named.items() if token}
        self.unk_token_id: int | None = ids.get("unk")
        self.eos_token_id: int | None = ids.get("eos")
        self.all_special_ids: list[int] = list(dict.fromkeys(ids.values()))

    def __call__(
        self, text: str, *, add_special_tokens: bool, return_offsets_mapping: bool
    ) -> dict[str, Any]:
        """Ids of a text's tokens, and where in the text each begins and ends."""
        found = self._backend.encode(text, add_special_tokens=add_special_tokens)
        return {"input_ids": found.ids, "offset_mapping": found.offsets}

    def decode(self, token_ids: Sequence[int], *, clean_up_tokenization_spaces: bool) -> str:
        """The text of ids, special tokens included."""
        return self._backend.decode(list(token_ids), skip_special_tokens=False)

    def apply_chat_template(
        self, conversation: Any, *, tokenize: bool, add_generation_prompt: bool
    ) -> str:
        """See `ChatTokenizer`; never called, as there is no chat format."""
        raise NotImplementedError
