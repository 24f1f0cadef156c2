"""The commands that are killed, what they leave, and how they are typed again."""

from __future__ import annotations

from dataclasses import dataclass

FIT = ("fit", "scenes", "--model", "model", "--steps", "4", "--views", "1", "--shots", "2")
FREE = ("--templates", "name", "--proposals", "min_iou=0", "--proposals", "grid=3")
MINE = ("mine", "scenes", "--caption-file", "captions.jsonl")
RETENTION = ("--retention", "2", "--retention-data", "synthetic:base?size=64&length=2")
SCENES = "synthetic:base?size=64&length=4&stuff_regions=1"


@dataclass(frozen=True)
class Case:
    """A command, the files that must be equal, and how it is typed again."""

    words: tuple[str, ...]
    files: tuple[str, ...]
    recipe: str = ""
    again: tuple[str, ...] = ()


CASES: dict[str, Case] = {
    "fit": Case(
        (*FIT, "--size", "32", "--templates", "name", "--out", "p.safetensors", *RETENTION),
        ("p.safetensors",),
    ),
    "evaluate": Case(
        ("evaluate", "scenes", "--model", "model", "--json", "e.json", "--csv", "e.csv"),
        ("e.json", "e.csv"),
    ),
    "segment": Case(
        ("segment", "scenes/images", "--model", "model", "--vocab", "star, grass"),
        ("segmented/labels/0.png", "segmented/labels/2.png", "segmented/vocabulary.json"),
    ),
    "mine": Case(
        (*MINE, "--model", "model", "--out", "m.jsonl", "--no-cache"),
        ("m.jsonl", "m.stats.json", "m.png"),
    ),
    "rpn": Case(
        ("train", "r.yaml", "--out", "run"),
        ("run/prompts.safetensors", "run/metrics.json", "run/evaluations.jsonl"),
        "system: rpn\ndata: scenes\nsplit: all\nmodel: model\nshots: 2\n"
        "fit: {views: 1, short_side: 32, loop: {steps: 2, save_every: 1}}\n"
        "evaluate: {split: all, every: 1, limit: 1}\n",
        ("--resume",),
    ),
    "ovseg/pairs": Case(
        ("train", "r.yaml", "--out", "run"),
        ("run/model-ft/model.safetensors", "run/prompts.safetensors", "run/metrics.json"),
        "system: ovseg/pairs\ndata: synthetic:base?size=64&length=2\ntemplates: name\n"
        "model: model\nstages: [{mode: ft}, {mode: mpt, depth: 2}]\nsteps: 2\nbatch: 4\n"
        "save_every: 1\nevaluate: synthetic:base?size=64&length=2\n",
        ("--resume",),
    ),
    "ovseg/maskformer": Case(
        ("train", "r.yaml", "--out", "run"),
        ("run/model/model.safetensors", "run/checkpoint.pt"),
        "system: ovseg/maskformer\npreset: tiny\nsteps: 2\nbatch: 2\nfeedforward: 16\n"
        "class_hidden: 16\ndecoder_layers: 1\ncrop: 64\nshorts: [64]\ndense_size: 64\n"
        "templates: name\ndata: scenes\nsplit: null\ntext: model\nsave_every: 1\n",
        ("--resume",),
    ),
    "zoo/clip_vit": Case(
        ("train", "r.yaml", "--out", "run"),
        ("run/model/model.safetensors", "run/checkpoint.pt"),
        "system: zoo/clip_vit\nvision_width: 32\nvision_layers: 2\nvision_heads: 2\n"
        "text_width: 32\ntext_layers: 2\ntext_heads: 2\nprojection_dim: 16\nvocab_size: 700\n"
        "num_crops: 24\nnum_scenes: 6\nscene_size: 64\nscene_windows: [48, 64]\nsteps: 2\n"
        "crops_per_step: 6\nscenes_per_step: 2\nwarmup: 1\nprecision: fp32\ndevice: cpu\n"
        "save_every: 1\n",
        ("--resume",),
    ),
    "zoo/seem": Case(
        ("train", "r.yaml", "--out", "run"),
        ("run/model/model.safetensors", "run/checkpoint.pt"),
        f'system: zoo/seem\nname: seem-test\ndata: "{SCENES}"\nembed_dim: 8\n'
        "depths: [1, 1, 1, 1]\nhidden: 32\nnum_heads: 4\nfeedforward: 64\ndecoder_layers: 3\n"
        "num_queries: 6\ngroups: 8\nshort_side: 64\ncrop: 64\nbatch: 2\nsteps: 2\nwarmup: 1\n"
        "pixels_per_image: 20\nsave_every: 1\n",
        ("--resume",),
    ),
    "zoo/maskformer": Case(
        ("train", "r.yaml", "--out", "run"),
        ("run/model/model.safetensors", "run/checkpoint.pt"),
        f'system: zoo/maskformer\nname: masks-test\ndata: "{SCENES}"\nembed_dim: 8\n'
        "depths: [1, 1, 1, 1]\nfpn_width: 32\nhidden: 32\nfeedforward: 32\ndecoder_layers: 1\n"
        "num_queries: 4\nshort_side: 64\ncrop: 64\nbatch: 2\nsteps: 2\nwarmup: 1\n"
        "save_every: 1\n",
        ("--resume",),
    ),
    "segprompt": Case(
        ("train", "r.yaml", "--out", "run"),
        ("run/model.safetensors", "run/checkpoint.pt"),
        'system: segprompt\nname: tiny\ndata: "synthetic:longtail?size=64&length=4"\n'
        "encoder: swin-tiny\nhidden: 32\nheads: 2\nfeedforward: 32\ndecoder_layers: 1\n"
        "pixel_feedforward: 32\npixel_layers: 1\nnum_points: 2\ngroups: 8\nnum_queries: 6\n"
        "prompts: {num_prompts: 6, repeat: 2, num_examples: 3, min_area: 4}\ncrop: 64\n"
        "scale: [0.8, 1.2]\nsteps: 2\nbatch: 2\nlr: 1e-3\nsave_every: 1\n",
        ("--resume",),
    ),
    "uniovseg/masks": Case(
        ("train", "r.yaml", "--out", "run"),
        ("run/model/model.safetensors", "run/checkpoint.pt"),
        f'system: uniovseg/masks\nname: tiny\nclip: random\ndata: "{SCENES}"\nhidden: 32\n'
        "num_heads: 4\npixel_layers: 1\npixel_feedforward: 32\ndecoder_layers: 2\n"
        "feedforward: 32\ngroups: 8\ncanvas: 64\ngrid: 3\nmax_masks: 4\nnum_points: 64\n"
        "steps: 2\nbatch: 2\nlr: 1e-3\nworkers: 2\nsave_every: 1\n",
        ("--resume",),
    ),
    "uniovseg/captions": Case(
        ("train", "r.yaml", "--out", "run"),
        ("run/prompts.safetensors", "run/checkpoint.pt"),
        "system: uniovseg/captions\nmodel: uniovseg\ndata: captions.jsonl\nsplit: null\n"
        "templates: single\nsizes: [64]\nsettings: {grid: 3, min_iou: 0.0}\nsteps: 2\n"
        "batch: 2\nlr: 0.01\nsave_every: 1\n",
        ("--resume",),
    ),
    "align": Case(
        ("align", "captions.jsonl", "--model", "uniovseg", "--out", "a.jsonl", *FREE),
        ("a.jsonl", "a.stats.json"),
    ),
    "mine by two": Case(
        (*MINE, "--model", "model", "--out", "m.jsonl", "--no-cache", "--workers", "2"),
        ("m.jsonl", "m.stats.json", "m.png"),
    ),
    "convert": Case(
        ("convert", "scenes", "--to", "coco", "--out", "coco"),
        ("coco/annotations/instances_all.json", "coco/images/0.png"),
        again=("--force",),
    ),
}
