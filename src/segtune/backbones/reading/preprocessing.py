"""What the folder of a model says about the images that it wants."""

from __future__ import annotations

from pathlib import Path

from segtune.ops.normalisation import Normalisation
from segtune.storage.json_files import read_settings


def stated_normalisation(path: Path) -> Normalisation | None:
    """Returns mean and deviation of the images where the folder states both; else None."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (path / name).is_file():
            values = read_settings(path / name)
            values = values.get("image_processor", values)
            if "image_mean" in values and "image_std" in values:
                return Normalisation.of_unit(values["image_mean"], values["image_std"])
    return None
