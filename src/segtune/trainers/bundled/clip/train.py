"""Trains the bundled CLIP on the synthetic `base` world and writes it as a Hugging Face folder.

    segtune train recipes/zoo/clip_vit.yaml --out runs/clip [--resume]

The loss is CLIP's, on three kinds of rows: crops, patches of scenes by the value path, and whole
scenes. Crops and patches are told from the captions of all seen things and stuff, and from captions
that name one or two attributes; a scene has the caption of one thing that it shows. Patches against
captions are region-caption training: it makes the model useful as a dense CLIP while it stays an
ordinary CLIPModel.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch
import yaml
from torch import Tensor
from tqdm import tqdm
from transformers import CLIPModel, CLIPTokenizer

from segtune.errors import SegtuneError
from segtune.train.checkpoints import load_checkpoint, read_state, save_checkpoint
from segtune.train.schedules import cosine_with_warmup
from segtune.trainers.bundled.clip.batch import Batch, Captions, make_batch
from segtune.trainers.bundled.clip.captions import training_captions
from segtune.trainers.bundled.clip.loss import contrast
from segtune.trainers.bundled.clip.model import build_clip, encode_images, encode_texts, export_clip
from segtune.trainers.bundled.clip.pool import open_pool
from segtune.trainers.bundled.clip.recipe import ClipRecipe, make_recipe, read_recipe
from segtune.trainers.bundled.clip.tokenizer import train_tokenizer

log = logging.getLogger(__name__)

DEFAULT_CACHE = Path("~/.cache/segtune")
MAX_LOGIT_SCALE = math.log(100.0)
CHECKPOINT, LOG, MODEL = "checkpoint.pt", "log.jsonl", "model"


def run(
    config: ClipRecipe,
    *,
    out: Path,
    resume: bool = False,
    progress: bool = True,
    cache: Path = DEFAULT_CACHE,
    stop_after: int | None = None,
) -> Path:
    """Trains by a recipe and returns the folder of the exported model.

    Writes into `out`: `recipe.yaml` (resolved), `log.jsonl`, `checkpoint.pt` and `model/`.

    Args:
        config: all settings.
        out: folder of the run.
        resume: continue from the checkpoint in `out`, exactly; start anew where there is none.
        progress: show progress bars when the output is a terminal.
        cache: folder in which rendered training images are kept.
        stop_after: leave after this step with a checkpoint, as an interruption would.
    """
    checkpoint = out / CHECKPOINT
    if checkpoint.exists() and not resume:
        raise SegtuneError(f"{out} already holds a run; add --resume or choose another --out")
    device, autocast = _device(config)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(config)
    model = build_clip(config, tokenizer=tokenizer, seed=config.seed).train()
    model.to(device)  # type: ignore[arg-type]  # transformers' decorator hides the signature
    # On a CPU the backward pass of fused attention in bfloat16 is several times slower.
    model.set_attn_implementation("eager" if device.type == "cpu" else "sdpa")
    optimizers = make_optimizers(model, config)
    parts = {"model": model, **optimizers}
    start = 0
    if checkpoint.exists():
        found = load_checkpoint(checkpoint, parts=parts, map_location=device)
        _check_same_recipe(found.extra["recipe"], config)
        start = found.step
    _write_recipe(config, out / "recipe.yaml")
    pool = open_pool(config, cache.expanduser(), progress=progress)
    num_params = sum(p.numel() for p in model.parameters())
    log.info("%s, %s, %d parameters, step %d", device, config.precision, num_params, start)

    end = min(config.num_steps, stop_after or config.num_steps)
    hidden = None if progress else True  # None: hidden when not a terminal
    bar = tqdm(range(start, end), "train", initial=start, total=end, disable=hidden)
    _drop_log_after(out / LOG, start)
    began = time.monotonic()
    with (out / LOG).open("a", encoding="utf-8", buffering=1) as log_file:
        for step in bar:
            for optimizer in optimizers.values():
                set_lr(optimizer, config, step)
            batch = make_batch(pool, config, step)
            losses = train_step(
                model, tokenizer, list(optimizers.values()), batch, config, autocast=autocast
            )
            bar.set_postfix(loss=f"{losses['loss']:.3f}")
            done = step + 1
            seconds = round(time.monotonic() - began, 1)
            log_file.write(json.dumps({"step": done, "seconds": seconds, **losses}) + "\n")
            if done % config.save_every == 0 or done == end:
                save_checkpoint(
                    checkpoint, step=done, parts=parts, extra={"recipe": config.to_dict()}
                )
    export_clip(model, tokenizer, out / MODEL)
    return out / MODEL


def export_run(out: Path, folder: Path) -> None:
    """Exports the weights in the last checkpoint of a run, which may still be going on.

    Args:
        out: folder of the run.
        folder: Hugging Face folder to write; an older one is replaced.
    """
    state = read_state(out / CHECKPOINT)
    config = make_recipe(**state["extra"]["recipe"])
    tokenizer = make_tokenizer(config)
    model = build_clip(config, tokenizer=tokenizer, seed=config.seed)
    model.load_state_dict(state["parts"]["model"])
    export_clip(model, tokenizer, folder)
    log.info("wrote step %d to %s", state["step"], folder)


def make_tokenizer(config: ClipRecipe) -> CLIPTokenizer:
    """Returns the tokenizer of a recipe; it depends on the world's words and the sizes alone."""
    return train_tokenizer(
        training_captions(), vocab_size=config.vocab_size, context_length=config.context_length
    )


def train_step(
    model: CLIPModel,
    tokenizer: CLIPTokenizer,
    optimizers: Sequence[torch.optim.Optimizer],
    batch: Batch,
    config: ClipRecipe,
    *,
    autocast: torch.autocast,
) -> dict[str, float]:
    """Takes one step and returns the loss and its terms.

    Raises:
        FloatingPointError: the loss is not finite; the weights are left as they were.
    """
    terms = batch_losses(model, tokenizer, batch, autocast=autocast)
    loss = (
        terms["crop"]
        + config.partial_weight
        * (terms["crop_partial"] + config.patch_weight * terms["patch_partial"])
        + config.patch_weight * terms["patch"]
        + config.scene_weight * terms["scene"]
    )
    model.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
    if not (loss.isfinite() and norm.isfinite()):
        raise FloatingPointError(
            f"loss {loss.item()}, gradient norm {norm.item()}; resume from the last checkpoint "
            "with a smaller lr or precision: fp32"
        )
    for optimizer in optimizers:
        optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
    values = {"loss": loss, **terms, "logit_scale": model.logit_scale.exp()}
    return {name: round(value.item(), 5) for name, value in values.items()}


def batch_losses(
    model: CLIPModel, tokenizer: CLIPTokenizer, batch: Batch, *, autocast: torch.autocast
) -> dict[str, Tensor]:
    """Returns the terms of the loss, each a scalar; only the encoders run under `autocast`."""
    device = model.device
    full = batch.crop_full.texts
    with autocast:
        crops, _ = encode_images(model, batch.crops.to(device))
        scenes, patches = encode_images(model, batch.scenes.to(device))
        texts = encode_texts(model, tokenizer, full + batch.crop_partial.texts)
    patch_rows = patches.flatten(0, 2)[batch.patch_index.to(device)]  # (P, D)
    full_texts, partial_texts = texts[: len(full)], texts[len(full) :]

    def loss(rows: Tensor, captions: Captions, embeds: Tensor, weights: Tensor | None) -> Tensor:
        index = captions.rows.to(device)
        return contrast(
            rows[index],
            embeds,
            own=captions.own.to(device),
            true=captions.true.to(device),
            logit_scale=model.logit_scale.exp(),
            weights=None if weights is None else weights.to(device)[index],
        )

    return {
        "crop": loss(crops, batch.crop_full, full_texts, None),
        "crop_partial": loss(crops, batch.crop_partial, partial_texts, None),
        "patch": loss(patch_rows, batch.patch_full, full_texts, batch.patch_weights),
        "patch_partial": loss(patch_rows, batch.patch_partial, partial_texts, batch.patch_weights),
        "scene": loss(scenes, batch.scene_full, full_texts, None),
    }


def make_optimizers(model: CLIPModel, config: ClipRecipe) -> dict[str, torch.optim.Optimizer]:
    """Returns Muon for the matrices inside the transformer layers and AdamW for everything else.

    Muon (Jordan et al., 2024) orthogonalises the update of a matrix, so that all its directions
    learn at the same pace. Weight decay acts on Muon's matrices only.
    """
    inner: list[torch.nn.Parameter] = []
    outer: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (inner if ".layers." in name and parameter.ndim == 2 else outer).append(parameter)
    muon = torch.optim.Muon(
        inner,
        lr=config.muon_lr,
        weight_decay=config.weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )
    adamw = torch.optim.AdamW(
        outer, lr=config.lr, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.0, fused=True
    )
    return {"muon": muon, "adamw": adamw}


def set_lr(optimizer: torch.optim.Optimizer, config: ClipRecipe, step: int) -> None:
    """Gives every group the rate of the step: warm-up, a drop, and a cosine with restarts."""
    begins = [0, *(start for start in config.restarts if start < config.num_steps)]
    begin = max(start for start in begins if start <= step)
    end = min(start for start in (*begins, config.num_steps) if start > step)
    base_lr = optimizer.defaults["lr"] * (config.lr_drop if step >= config.lr_drop_step else 1.0)
    rate = cosine_with_warmup(
        step - begin,
        base_lr=base_lr,
        num_steps=end - begin,
        num_warmup_steps=0 if begin else config.num_warmup_steps,
        min_lr=0.01 * base_lr,
    )
    for group in optimizer.param_groups:
        group["lr"] = rate


def _device(config: ClipRecipe) -> tuple[torch.device, torch.autocast]:
    if config.device != "auto":
        device = torch.device(config.device)
    else:
        device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    enabled = config.precision == "bf16"
    return device, torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def _write_recipe(config: ClipRecipe, path: Path) -> None:
    """Writes the resolved recipe; package versions go into a comment so that it stays a recipe."""
    versions = {name: version(name) for name in ("torch", "transformers", "tokenizers", "numpy")}
    text = yaml.safe_dump(config.to_dict(), sort_keys=False)
    path.write_text(f"# resolved; versions: {versions}\n{text}", encoding="utf-8")


def _check_same_recipe(stored: dict[str, object], config: ClipRecipe) -> None:
    free = {"device", "save_every"}  # what may change between the parts of a run
    given = config.to_dict()
    if changed := [k for k in given if k not in free and stored.get(k) != given[k]]:
        raise SegtuneError(
            f"the checkpoint was written with other settings for {changed}; "
            "resume with the recipe.yaml beside it or choose another --out"
        )


def _drop_log_after(path: Path, step: int) -> None:
    """Removes the lines of steps that an interrupted run took after its last checkpoint."""
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines()[:step]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the training from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m segtune.trainers.bundled.clip.train", description=__doc__
    )
    parser.add_argument(
        "recipe", type=Path, nargs="?", help="YAML file, e.g. recipes/zoo/clip_vit.yaml"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="rendered images")
    parser.add_argument(
        "--export", type=Path, help="only write the last checkpoint of --out to this model folder"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.export:
        export_run(options.out, options.export)
        return
    if options.recipe is None:
        parser.error("give a recipe, for example recipes/zoo/clip_vit.yaml")
    recipe = read_recipe(options.recipe)
    model = run(recipe, out=options.out, resume=options.resume, cache=options.cache)
    print(f"wrote {model}")


if __name__ == "__main__":
    main()
