"""The tiny model and data of the tests of the command line."""

from tests.cli.conftest import labelled, model_folder

__all__ = ["labelled", "model_folder"]
