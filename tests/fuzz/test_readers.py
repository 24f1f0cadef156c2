"""Damaged files end in one line or are read; none crashes, hangs, or takes memory without end.

`make test` tries a few damages of every kind of file, seeded; `make fuzz` a hundred thousand each.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from segtune.errors import SegtuneError, one_line
from tests.fuzz.reader import Reader
from tests.fuzz.readers import all_readers
from tests.fuzz.tools import PROJECTS

CASES = int(os.environ.get("SEGTUNE_FUZZ", "25"))
SECONDS = 2
MORE_MEMORY = 4 * 2**30
"""Bytes of addresses that reading may take beside those of the process."""
NAMES = (
    *("coco instances", "coco panoptic", "coco captions", "captions", "pairs", "points", "boxes"),
    *("vocabulary json", "vocabulary yaml", "vocabulary txt", "recipe", "recipe as json"),
    *("recipe of pairs", "recipe of proposals", "recipe of clip", "image png", "index map"),
    *("masks png", "masks npy", "masks json", "prompt header", "prompt file"),
    *("weights safetensors", "weights zip", "weights stream", "config of clip", "config of pair"),
    *(name for name, *_ in PROJECTS),
)


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory, model_folder: str) -> dict[str, Reader]:
    return all_readers(tmp_path_factory.mktemp("fuzz"), model_folder)


@pytest.fixture(autouse=True, scope="module")
def _bounded_memory(readers: dict[str, Reader]) -> Iterator[None]:
    resource = pytest.importorskip("resource")
    statm = Path("/proc/self/statm")
    if not statm.exists():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    now = int(statm.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MORE_MEMORY, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_every_reader_is_named(readers: dict[str, Reader]) -> None:
    assert set(readers) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files(readers: dict[str, Reader], name: str) -> None:
    reader = readers[name]

    @settings(
        max_examples=CASES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(reader.contents)
    def read(content: bytes) -> None:
        with quick(), one_line_or_nothing():
            reader.file.write_bytes(content)
            reader.read(reader.file)

    whole = reader.file.read_bytes() if reader.file.exists() else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read()
    if whole is not None:
        reader.file.write_bytes(whole)


@contextmanager
def quick() -> Iterator[None]:
    """Fails where the block takes longer than `SECONDS` of this process."""
    began = time.process_time()
    yield
    assert time.process_time() - began < SECONDS


@contextmanager
def one_line_or_nothing() -> Iterator[None]:
    """Lets the errors that a user may meet pass, and no other."""
    said = "read"
    try:
        yield
    except (SegtuneError, FileNotFoundError) as error:
        said = one_line(str(error))
    assert said


def test_the_rule_sees_what_it_forbids() -> None:
    with pytest.raises(KeyError), one_line_or_nothing():
        raise KeyError("a")
    with pytest.raises(AssertionError), one_line_or_nothing():
        raise SegtuneError("")
