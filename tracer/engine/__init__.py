"""The only package that needs torch; its modules are imported when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from tracer.engine import consensus as consensus
    from tracer.engine import dictionary_files as dictionary_files
    from tracer.engine import evaluation as evaluation
    from tracer.engine import feature_card as feature_card
    from tracer.engine import feature_index as feature_index
    from tracer.engine import graphs as graphs
    from tracer.engine import head_reason as head_reason
    from tracer.engine import memory as memory
    from tracer.engine import model as model
    from tracer.engine import proposal as proposal
    from tracer.engine import run as run
    from tracer.engine import session as session
    from tracer.engine import specificity as specificity
    from tracer.engine import training as training

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "consensus",
        "dictionary_files",
        "evaluation",
        "feature_card",
        "feature_index",
        "graphs",
        "head_reason",
        "memory",
        "model",
        "proposal",
        "run",
        "session",
        "specificity",
        "training",
    ],
)
