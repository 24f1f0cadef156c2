"""Opening a COCO file: reading and checking every annotation against `json.load` and one pass.

    python benchmarks/open_coco.py [--annotations 100000] [--images 10000] [--json FILE]

Polygons of 4 to 40 points of 80 classes; the image files are empty, as opening does not read them.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

from common import interleaved_seconds, machine, print_table

from segtune.data.formats import open_dataset

PLAIN, OPENED = "json.load and one pass", "open_dataset"


def main() -> None:
    """Prints seconds and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--annotations", type=int, default=100_000)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = made_file(Path(folder), images=options.images, annotations=options.annotations)
        calls: dict[str, Callable[[], object]] = {
            PLAIN: lambda: one_pass(file),
            OPENED: lambda: open_dataset(file),
        }
        size = file.stat().st_size
        seconds = interleaved_seconds(calls, repeats=options.repeats)
    ratio = seconds[OPENED].cpu / seconds[PLAIN].cpu
    print(f"{machine()}; {options.annotations} annotations, {size / 1e6:.0f} MB")
    rows = [(name, f"{each.cpu:.2f}", f"{each.wall:.2f}") for name, each in seconds.items()]
    rows.append(("ratio", f"{ratio:.2f}", f"{seconds[OPENED].wall / seconds[PLAIN].wall:.2f}"))
    print_table(("", "processor s", "wall s"), rows)
    if options.json:
        row = {"machine": machine(), "annotations": options.annotations, "cpu_ratio": ratio}
        options.json.write_text(json.dumps(row, indent=2) + "\n")


def made_file(folder: Path, *, images: int, annotations: int) -> Path:
    """Returns a JSON file of random polygons, with empty image files beside it."""
    chance = random.Random(0)
    names = [f"{number:012d}.jpg" for number in range(images)]
    for name in names:
        (folder / name).touch()
    entries = []
    for number in range(annotations):
        points = 2 * chance.randint(4, 40)
        polygon = [round(chance.uniform(0, 480), 2) for _ in range(points)]
        entries.append(
            {
                "id": number,
                "image_id": number % images,
                "category_id": 1 + number % 80,
                "segmentation": [polygon],
                "bbox": [1.5, 2.5, 30.25, 40.5],
                "area": 1000.5,
                "iscrowd": 0,
            }
        )
    content = {
        "images": [
            {"id": i, "file_name": name, "width": 640, "height": 480}
            for i, name in enumerate(names)
        ],
        "annotations": entries,
        "categories": [{"id": 1 + i, "name": f"class {i}"} for i in range(80)],
    }
    file = folder / "instances_train.json"
    file.write_text(json.dumps(content))
    return file


def one_pass(file: Path) -> int:
    """Returns the sum of category ids, as a plain reader that looks at every annotation."""
    with file.open("rb") as stream:
        content = json.load(stream)
    return sum(annotation["category_id"] for annotation in content["annotations"])


if __name__ == "__main__":
    main()
