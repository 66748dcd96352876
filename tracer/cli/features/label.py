"""`tracer features label`: labels from a file, which stand in for the automatic ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tracer import engine
from tracer.cli import options
from tracer.cli.output import stderr, stdout
from tracer.cli.progress import progress_on
from tracer.engine.feature_index.entries import open_store, write_labels
from tracer.engine.feature_index.index import index_identity
from tracer.engine.feature_index.labels import label_files, read_labels_file
from tracer.engine.model.sources import named_features, named_model
from tracer.errors import EXIT_OK


def label(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A JSON object of ids and labels, or explanations that Neuronpedia exports: "
            ".json, .jsonl, .jsonl.gz, or a folder of these.",
            show_default=False,
        ),
    ],
    model: options.Model = None,
    features: options.Features = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
) -> int:
    """Give features labels from a file or from Neuronpedia's export, in place of automatic ones.

    tracer features label labels.json

    tracer features label explanations/ --features ./my_transcoders

    They replace those that were given before, and are shown where there is an index.
    """
    spec = named_model(model, device, dtype)
    basis = named_features(features)
    label_files(file)
    with progress_on(stderr(), quiet=False) as progress:
        with progress.task("importing PyTorch and TransformerLens"):
            session = engine.session
        opened = session.open_both(spec, basis, progress)
        subject, features_ = session.subject_of(opened), opened.basis
        widths = tuple(features_.n_features(layer) for layer in range(features_.n_layers))
        with progress.task("reading the labels"):
            labels = read_labels_file(file, widths)
        write_labels(open_store(), subject, labels)
        if index_identity(subject) is None:
            progress.note("they are shown once there is an index: tracer features index")
    stdout().say(f"{len(labels):,} labels kept for {basis} of {spec.name}")
    return EXIT_OK
