"""`segtune doctor`: is everything here that segtune needs, in versions that fit together?"""

from __future__ import annotations

import os
import platform
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from segtune.backbones.cards import BUNDLED
from segtune.cli.tables import print_table
from segtune.errors import SegtuneError
from segtune.storage.files import cache_dir

PROBLEM = 1
"""Exit status where something is wrong."""


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    what: str
    state: str
    is_problem: bool = False


def run(options: Namespace) -> int:
    """Prints what was found; the exit status says whether there is a problem."""
    checks: tuple[Callable[[], list[Finding]], ...] = (
        versions,
        torchvision,
        device,
        cache,
        weights,
    )
    findings = [finding for check in checks for finding in check()]
    rows = [("PROBLEM" if f.is_problem else "ok", f.what, f.state) for f in findings]
    print_table(("", "what", "found"), rows)
    return PROBLEM if any(finding.is_problem for finding in findings) else 0


def versions() -> list[Finding]:
    """Compares Python and the packages with the bounds in the metadata of segtune."""
    python = platform.python_version()
    try:
        about = metadata.metadata("segtune")
        wanted = [Requirement(text) for text in metadata.requires("segtune") or ()]
    except metadata.PackageNotFoundError:
        return [
            Finding("python", python),
            Finding("segtune", "runs from its source folder, so versions cannot be compared"),
        ]
    bound = SpecifierSet(about["Requires-Python"] or "")
    findings = [_compared("python", python, bound), Finding("segtune", about["Version"])]
    for requirement in wanted:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue  # belongs to an extra
        findings.append(
            _compared(requirement.name, _installed(requirement.name), requirement.specifier)
        )
    return findings


def torchvision() -> list[Finding]:
    """Reports a torchvision that was built for another torch, which breaks transformers."""
    found = _installed("torchvision")
    if found is None:
        return [Finding("torchvision", "not installed, and not needed")]
    texts = metadata.requires("torchvision") or ()
    bound = next((r.specifier for r in map(Requirement, texts) if r.name == "torch"), None)
    torch = _installed("torch")
    if bound is None or torch is None or bound.contains(Version(torch), prereleases=True):
        return [Finding("torchvision", found)]
    state = f"{found} needs torch{bound}, but torch is {torch}; `pip uninstall torchvision`"
    return [Finding("torchvision", state, is_problem=True)]


def device() -> list[Finding]:
    """Names the device that models are put on."""
    import torch

    from segtune.backbones.hub import default_device

    place = default_device()
    threads = f"{torch.get_num_threads()} threads" if place.type == "cpu" else ""
    name = torch.cuda.get_device_name() if place.type == "cuda" else ""
    return [Finding("device", " ".join(filter(None, (str(place), name, threads))))]


def cache() -> list[Finding]:
    """Checks that text embeddings can be kept."""
    folder = cache_dir()
    existing = folder
    while not existing.exists():
        existing = existing.parent
    if existing.is_dir() and os.access(existing, os.W_OK):
        return [Finding("cache", str(folder))]
    state = f"{folder} cannot be written; set SEGTUNE_CACHE to a folder that can"
    return [Finding("cache", state, is_problem=True)]


def weights() -> list[Finding]:
    """Compares the bundled weights with their checksums."""
    findings = []
    for card in BUNDLED:
        try:
            card.verify()
        except SegtuneError as error:
            findings.append(Finding(card.name, str(error), is_problem=True))
        else:
            size = (card.path() / card.weights_file).stat().st_size
            state = "checksum fits" if card.sha256 else "no checksum in its card"
            findings.append(Finding(card.name, f"{size / 1e6:.1f} MB, {state}"))
    return findings


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _compared(what: str, found: str | None, bound: SpecifierSet) -> Finding:
    if found is None:
        return Finding(what, f"missing; `pip install '{what}{bound}'`", is_problem=True)
    if not bound.contains(Version(found), prereleases=True):
        state = f"{found}, but segtune needs {bound}; `pip install '{what}{bound}'`"
        return Finding(what, state, is_problem=True)
    return Finding(what, found)
