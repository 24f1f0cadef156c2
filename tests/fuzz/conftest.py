"""The tiny model of the tests of the command line."""

from tests.cli.conftest import model_folder

__all__ = ["model_folder"]
