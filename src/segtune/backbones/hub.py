"""From a name or path to a frozen model: bundled, Hugging Face folder or name, official file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from segtune.backbones import MODELS
from segtune.backbones.cards import CARDS, Card
from segtune.backbones.reading.config_bounds import bounded, check_settings
from segtune.backbones.spec import ModelSpec
from segtune.errors import SegtuneError, WeightsError, one_line
from segtune.storage.json_files import read_settings
from segtune.storage.memory import is_out_of_memory
from segtune.storage.registry import resolve
from segtune.storage.weights import load_tokenizer, read_state

if TYPE_CHECKING:
    from segtune.backbones.base import FrozenModel

DEFAULT_MODEL = "seem-tiny"
"""The bundled model that is used where none is named."""


def load_backbone(
    name: str | Path = DEFAULT_MODEL,
    *,
    tokenizer: str | Path | None = None,
    device: str | torch.device | None = None,
) -> FrozenModel:
    """Returns a frozen model of one of the kinds in `MODELS`, by what its files say it is.

    Args:
        name: a bundled model, a Hugging Face folder or hub name, an OpenAI `.pt` file, an OpenCLIP
            file or folder, an OVSeg or SimBaseline file, or PROPOSALS+CLIP for two of them.
        tokenizer: folder or hub name of tokenizer files; needed for official files, which carry
            none, and for folders without one.
        device: where to put it; None takes an accelerator where there is one.

    Raises:
        FileNotFoundError, WeightsError: nothing found, or it is no model of these.
    """
    model: Any
    parts = str(name).split("+")
    card = CARDS.get(str(name))
    path = card.path() if card and card.is_bundled else Path(name)
    if len(parts) == 2 and all(parts) and not path.exists():
        pairs = next(spec for spec in MODELS.values() if spec.load_pair)
        model = resolve(pairs.load_pair)(*parts, tokenizer=tokenizer)
    elif path.is_dir():
        model = _from_folder(path, card, tokenizer)
    elif path.is_file():
        model = _from_file(path, tokenizer)
    elif _looks_like_path(str(name)):
        raise FileNotFoundError(
            f"no model at {name}; give a folder with config.json and model.safetensors, an "
            f"official CLIP file, or a bundled name ({', '.join(bundled())})"
        )
    else:
        model = _from_hub(card.hub_id or card.name if card else str(name), card, tokenizer)
    frozen: FrozenModel = model.to(device or default_device())
    return frozen


def default_device() -> torch.device:
    """Returns the accelerator where there is one, else the CPU."""
    return torch.accelerator.current_accelerator() or torch.device("cpu")


def bundled() -> list[str]:
    """Returns the names of the models that come with the package."""
    return [name for name, card in CARDS.items() if card.is_bundled]


def spec_of_folder(path: Path) -> ModelSpec | None:
    """Returns the kind of model in a folder; None where it is none that is known.

    Raises:
        WeightsError: the folder has nothing that says what it is.
    """
    found = [(mark, spec) for spec in MODELS.values() for mark in spec.folder_marks]
    fitting = [(mark, spec) for mark, spec in found if mark.fits(path)]
    if not fitting and not (path / "config.json").is_file():
        raise WeightsError(
            f"{path} has no config.json; a model folder needs config.json and model.safetensors"
        )
    # What a file says comes before that it is there.
    return min(fitting, key=lambda pair: not pair[0].entry)[1] if fitting else None


def stated_type(path: Path) -> str:
    """Returns the `model_type` of the config.json in a folder."""
    settings = read_settings(path / "config.json")
    return str(settings.get("model_type", "nameless"))


def spec_of_state(names: list[str]) -> ModelSpec:
    """Returns the kind of model that has tensors of these names: a CLIP where no other fits."""
    loadable = [spec for spec in MODELS.values() if spec.load_state]
    return max(
        (spec for spec in loadable if spec.fits_state(names)),
        key=lambda spec: len(spec.state_marks),
    )


def _from_folder(path: Path, card: Card | None, tokenizer: str | Path | None) -> Any:
    spec = spec_of_folder(path)
    if spec is None:
        known = [t for each in MODELS.values() if each.load_folder for t in each.model_types]
        raise WeightsError(
            f"{path} is a {stated_type(path)!r} model; segtune needs one of these here: "
            f"model_type {', '.join(known)}"
        )
    if not spec.load_folder:
        shown = card.name if card else path
        raise WeightsError(
            f"{shown} proposes masks and names none; pair it with the CLIP it was trained with: "
            f"--model {shown}+CLIP"
        )
    check_settings(path)
    with described(path), bounded(path):
        model = resolve(spec.load_folder)(path, tokenizer=tokenizer)
    if card is not None:
        model.name = card.name
        model.dense_size = card.dense_size or model.dense_size
    return model


@contextmanager
def described(path: Path) -> Iterator[None]:
    """Says so where the settings of a model folder make no sense, in whatever way that shows."""
    try:
        yield
    except (SegtuneError, OSError, MemoryError):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = one_line(f"{type(error).__name__}: {error}", longest=120)
        raise WeightsError(
            f"{path} is no model that can be built: its config.json and its weights make no sense "
            f"together ({reason}); copy the folder again"
        ) from error


def _from_file(path: Path, tokenizer: str | Path | None) -> Any:
    state = read_state(path)
    spec = spec_of_state(list(state))
    return resolve(spec.load_state)(
        state, name=path.stem, tokenizer=load_tokenizer(tokenizer) if tokenizer else None
    )


def _from_hub(name: str, card: Card | None, tokenizer: str | Path | None) -> Any:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = ["*.json", "*.txt", "model.safetensors", "open_clip_model.safetensors"]
    try:
        folder = Path(snapshot_download(name, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        page = f"; see https://huggingface.co/{name}" if "/" in name else ""
        raise WeightsError(
            f"cannot get the weights of {name!r} ({type(error).__name__}); without a network, pass "
            f"a local folder or a bundled name ({', '.join(bundled())}){page}"
        ) from None
    model = _from_folder(folder, card, tokenizer)
    if card is None:
        model.name = name  # the folder is called after a commit
    return model


def _looks_like_path(name: str) -> bool:
    return (
        name.startswith((".", "/", "~"))
        or name.count("/") > 1
        or Path(name).suffix in (".pt", ".bin")
    )
