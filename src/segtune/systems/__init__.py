"""The systems by name. Listing them imports no model code; `build_system` does.

A system is one folder with a `spec.py`, and one line in `SYSTEMS`. Other packages add theirs by
entry points of the group `segtune.systems`, each of which names one `SystemSpec` or a list of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from segtune.backbones import MODELS
from segtune.errors import SegtuneError, listed
from segtune.storage.registry import Registry, resolve
from segtune.systems.options import checked
from segtune.systems.ovseg.spec import SPECS as OVSEG
from segtune.systems.rpn.spec import DENSE_CLIP
from segtune.systems.rpn.spec import SPECS as RPN
from segtune.systems.segprompt.spec import SEGPROMPT
from segtune.systems.spec import Build, SystemSpec
from segtune.systems.ssprompt.spec import SPECS as SSPROMPT
from segtune.systems.uniovseg.spec import SPECS as UNIOVSEG

if TYPE_CHECKING:
    from segtune.backbones.base import FrozenModel
    from segtune.systems.base import System


SYSTEMS = Registry[SystemSpec](
    "system",
    (*SSPROMPT, *RPN, *OVSEG, SEGPROMPT, *UNIOVSEG, DENSE_CLIP),
    group="segtune.systems",
)
"""Name -> everything that is declared about it."""


def systems_for(kind: str) -> list[str]:
    """Returns the systems that learn something on a kind of frozen model.

    Example:
        >>> systems_for("clip-vit")
        ['rpn', 'zegclip', 'vpt', 'lora', 'lpm']
    """
    return [name for name, spec in SYSTEMS.items() if spec.learns and kind in spec.kinds]


def default_system(kind: str) -> str:
    """Returns the system that is fitted where none is named.

    Raises:
        SegtuneError: nothing learns on that kind of model.

    Example:
        >>> default_system("seem"), default_system("clip-vit")
        ('ssprompt', 'rpn')
    """
    learners = systems_for(kind)
    if not learners:
        raise SegtuneError(
            f"no system learns on a model of kind {kind}; {_choose_a_model(learns=True)}"
        )
    return learners[0]


def default_systems() -> str:
    """Returns the default of every kind of model in words, for help texts.

    Example:
        >>> default_systems().partition(", ")[0]
        'rpn on CLIP ViT'
    """
    kinds: dict[str, list[str]] = {}
    for kind, model in MODELS.items():
        if learners := systems_for(kind):
            kinds.setdefault(learners[0], []).extend(model.titles)
    return ", ".join(f"{name} on {listed(titles)}" for name, titles in kinds.items())


def zero_shot_system(kind: str) -> str:
    """Returns the system that answers without learned prompts.

    Raises:
        SegtuneError: nothing answers on that kind of model.

    Example:
        >>> zero_shot_system("seem"), zero_shot_system("clip-vit")
        ('seem', 'dense-clip')
    """
    for name, spec in SYSTEMS.items():
        if spec.is_zero_shot and kind in spec.kinds:
            return name
    raise SegtuneError(f"no system answers on a model of kind {kind}; {_choose_a_model()}")


def build_system(
    name: str, backbone: FrozenModel, options: Mapping[str, Any] | None = None, *, seed: int = 0
) -> System:
    """Returns a system with fresh prompts on a frozen backbone.

    Args:
        name: a key of `SYSTEMS`.
        backbone: a frozen model from `segtune.backbones`.
        options: config fields to change, such as {"variant": "paper", "static_tokens": 0}.
        seed: of the initial prompts.

    Raises:
        SegtuneError: unknown system or option, or a system for another kind of model.
    """
    spec = SYSTEMS.find(name)
    if backbone.kind not in spec.kinds:
        raise SegtuneError(
            f"{name} runs on a model of kind {' or '.join(spec.kinds)} but {backbone.name} is of "
            f"kind {backbone.kind}; choose a model with --model, or one of "
            f"{', '.join(systems_for(backbone.kind))}"
        )
    build = spec.build_on(backbone.kind)
    published: Mapping[str, Any] = {}
    if build.options_of_model:
        published = resolve(build.options_of_model)(name, backbone)
    config = configured(name, build, {**published, **(options or {})})
    system: System = resolve(build.system)(backbone, config, name=name, seed=seed)
    return system


def configured(name: str, build: Build, options: Mapping[str, Any] | None = None) -> Any:
    """Returns the config of a system on one kind of model, with options changed.

    Raises:
        SegtuneError: an option is unknown, or a value of another type.

    Example:
        >>> spec = SYSTEMS["vpt"]
        >>> configured("vpt", spec.builds[0], {"variant": "shallow"}).static_mode
        'shallow'
    """
    target = resolve(build.config)
    if isinstance(target, type):
        return target(**checked(target, name, options))
    return target(name, options)


def _choose_a_model(*, learns: bool = False) -> str:
    specs = [spec for spec in SYSTEMS.values() if spec.learns or not learns]
    kinds = dict.fromkeys(kind for spec in specs for kind in spec.kinds)
    return f"choose a model of kind {', '.join(kinds)} with --model"
