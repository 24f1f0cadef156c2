"""What the house asks about a system, declared in one place: `systems/<folder>/spec.py`.

A spec imports no model code. Where something is built it names `"module:attribute"`, which
`segtune.storage.registry.resolve` imports when it is needed. The command line, the default rates
of a fit, the trainers of recipes and the test battery are derived from specs; other packages add
theirs by entry points of the group `segtune.systems`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from segtune.types import Task


@dataclass(frozen=True)
class Build:
    """How a system is made on one kind of frozen model.

    Attributes:
        kind: of the frozen model, a name in `segtune.backbones.MODELS`.
        system: "module:Class", called with (model, config, name=..., seed=...).
        config: "module:Class" of a frozen dataclass; or "module:function" from the name of the
            system and options to one, for systems with presets.
        options_of_model: "module:function" from the name of the system and a model to the options
            that its weights were published with; they come before those of a user. Empty: none.
    """

    kind: str
    system: str
    config: str
    options_of_model: str = ""


@dataclass(frozen=True)
class FitDefaults:
    """With what a system is fitted to a few images where nothing is said; see `FitConfig`.

    Attributes:
        rate_factors: candidates that held-out shots choose from, besides the unfitted model.
        factor_tasks: tasks whose candidates they are; for other tasks the rates as they are are
            the only one.
        trial_steps: steps of the fits that are compared; None takes `steps`.
        classes_option: option that takes the names of the classes that get a learned row; empty
            for systems that learn the same numbers for any classes.
        grid_option: option that takes the patch grid (h, w) of the training views; empty: none.
    """

    steps: int = 400
    lr: float = 1e-3
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = 0.01
    warmup: int = 20
    clip_norm: float | None = 1.0
    batch: int = 4
    views: int = 8
    scale: tuple[float, float] = (0.75, 1.5)
    distort: bool = True
    rate_factors: tuple[float | tuple[float, ...], ...] = ()
    factor_tasks: tuple[Task, ...] = ("semantic",)
    trial_steps: int | None = None
    classes_option: str = ""
    grid_option: str = ""

    def factors_of(self, task: Task) -> tuple[float | tuple[float, ...], ...]:
        """Returns the candidates for a task; empty where nothing is compared."""
        return self.rate_factors if task in self.factor_tasks or not self.rate_factors else (1.0,)


@dataclass(frozen=True)
class TrainerSpec:
    """What `segtune train` does with recipes of one `system:`.

    Attributes:
        name: the value of `system:` in recipe files.
        run: "module:function", called with (recipe path, settings, out=..., resume=...);
            returns a `segtune.train.outcome.Outcome`.
    """

    name: str
    run: str


@dataclass(frozen=True)
class Case:
    """One way in which the test battery runs a system, small enough for random models.

    Attributes:
        name: what tells it from the other cases of the system; empty for the only one.
        options: of the system, beside what a fit would set.
        kinds: of frozen models; empty for all that the system runs on.
        starts_as_zero_shot: before the first step it answers as the model without prompts does,
            bit for bit; with these options of the zero-shot system. None: no such promise.
        random_start: initial prompts depend on the seed.
        unread: patterns of learned tensors that the loss of one batch may leave out.
        words: what it answers: "any" words, those "of the fit" only, or "one" word alone, for
            masks without names; all others are refused with an error.
    """

    name: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    kinds: tuple[str, ...] = ()
    starts_as_zero_shot: Mapping[str, Any] | None = None
    random_start: bool = True
    unread: tuple[str, ...] = ()
    words: Literal["any", "of the fit", "one"] = "any"


@dataclass(frozen=True)
class SystemSpec:
    """One system.

    Attributes:
        name: what users type and files say.
        builds: how it is made, one entry per kind of frozen model.
        about: what is learned, or what answers where nothing is; one line.
        source: who published it, and where; one line.
        paper: its title.
        learns: there is something to fit.
        is_zero_shot: it is what answers without learned prompts on its kinds of model.
        fit: defaults of a few-shot fit.
        tasks: that it can be fitted for, the default first.
        variants: values of the option "variant", the default first; empty: no such option.
        tags: marks in the comments of config fields, such as ("P", "the paper").
        trainers: of recipes besides that of the system's own name, which is a fit.
        note_on_fit: "module:function" from `Prompts` to what a user should hear after a fit.
        note_on_loss: the same, where a fit cost much of what the model knew.
        checkpoint_reader: "module:function" from a state dict to the system of a released file.
        cases: for the test battery.
    """

    name: str
    builds: tuple[Build, ...]
    about: str
    source: str
    paper: str = ""
    learns: bool = True
    is_zero_shot: bool = False
    fit: FitDefaults = FitDefaults()
    tasks: tuple[Task, ...] = ("semantic",)
    variants: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    trainers: tuple[TrainerSpec, ...] = ()
    note_on_fit: str = ""
    note_on_loss: str = ""
    checkpoint_reader: str = ""
    cases: tuple[Case, ...] = (Case(),)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of frozen model that it runs on."""
        return tuple(build.kind for build in self.builds)

    def build_on(self, kind: str) -> Build:
        """Returns how it is made on a kind of frozen model."""
        return next(build for build in self.builds if build.kind == kind)
