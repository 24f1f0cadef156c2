"""Text templates: the sentences into which a class name is put before it is encoded.

The built-in sets are in `vocabulary/sentences.json`: "name" (the bare name), "single", the sets of
CLIP (`imagenet_80`), ViLD (`vild_14`, `vild_63`), RPN (`rpn_voc`, `rpn_15`), OVSeg, SimBaseline and
ZegFormer. `{}` is the class name; `{article}`, as in `vild_63`, becomes "a" or "an" to fit it. The
names that the released code of these systems uses are known too (`ALSO_CALLED`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from segtune.errors import SegtuneError, unknown_name
from segtune.types import TemplateSet
from segtune.vocabulary.parse import FILE_TYPES, parse_json, parse_yaml, read_text

ALSO_CALLED = {
    "vild": "vild_14",
    "imagenet": "imagenet_80",
    "zegformer": "zegformer_single",
    "zegformer_8": "zegformer_select_8",
    "imagenet_select": "zegformer_select_8",
    "zegformer_32": "zegformer_clip_branch_32",
}
"""Short name -> built-in set; the first two are what OVSeg and SimBaseline call them."""

TemplateSpec = str | Path | TemplateSet | Sequence[str]


@cache
def _builtin_sets() -> dict[str, TemplateSet]:
    text = resources.files("segtune.vocabulary").joinpath("sentences.json").read_text("utf-8")
    return {name: TemplateSet(name, tuple(lines)) for name, lines in json.loads(text).items()}


def template_names() -> tuple[str, ...]:
    """Returns the names of the built-in template sets."""
    return tuple(_builtin_sets())


def read_templates(spec: TemplateSpec) -> TemplateSet:
    """Returns the template set that `spec` names or holds.

    Args:
        spec: a built-in name; a sentence or several with `{}` in it; a .txt file (one sentence per
            line), or a .json or .yaml file with a list of sentences.

    Example:
        >>> read_templates("single").fill("road")
        ('a photo of a road.',)
        >>> read_templates("a satellite image of a {}").fill("road")
        ('a satellite image of a road',)
    """
    if isinstance(spec, TemplateSet):
        return spec
    if isinstance(spec, Path):
        return _from_file(spec)
    if not isinstance(spec, str):
        return TemplateSet("custom", tuple(spec))
    name = ALSO_CALLED.get(spec, spec)
    if name in _builtin_sets():
        return _builtin_sets()[name]
    if "{}" in spec:
        return TemplateSet("custom", (spec,))
    if Path(spec).suffix.lower() in FILE_TYPES:
        return _from_file(Path(spec))
    raise unknown_name(spec, template_names(), what="built-in template set")


def _from_file(path: Path) -> TemplateSet:
    text = read_text(path, what="template file")
    suffix = path.suffix.lower()
    if suffix in (".json", ".yaml", ".yml"):
        content = parse_json(text, path) if suffix == ".json" else parse_yaml(text, path)
        if not isinstance(content, list) or not all(isinstance(line, str) for line in content):
            raise SegtuneError(f"{path} must hold a list of sentences, each with {{}} in it")
        return TemplateSet(path.stem, tuple(content))
    lines = (line.strip() for line in text.splitlines())
    return TemplateSet(path.stem, tuple(line for line in lines if line))
