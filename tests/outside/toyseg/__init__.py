"""A package as somebody else would publish it: a frozen model of colours, and two systems on it.

The installed form is this folder beside `toyseg-1.0.dist-info`, whose entry points name what is
declared here. Nothing of it is known to segtune.
"""

from segtune.backbones.spec import FolderMark, ModelSpec
from segtune.systems.spec import Build, Case, FitDefaults, SystemSpec

MODEL = ModelSpec(
    "toy",
    titles=("Toy",),
    can=("words",),
    folder_marks=(FolderMark(values=("toy",)),),
    load_folder="toyseg.model:load",
    random="toyseg.model:tiny",
)
BUILDS = (Build("toy", "toyseg.system:ToySystem", "toyseg.config:configure"),)
SYSTEMS = [
    SystemSpec("toy", BUILDS, "nothing: colours against words", "nobody", learns=False,
               is_zero_shot=True),
    SystemSpec(
        "toyshift",
        BUILDS,
        "one shift per class of the fit",
        "nobody",
        fit=FitDefaults(steps=30, lr=0.5, views=1, classes_option="classes"),
        cases=(Case(starts_as_zero_shot={}, random_start=False),),
    ),
]  # fmt: skip
