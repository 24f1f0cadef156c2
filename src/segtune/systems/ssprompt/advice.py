"""What a user should hear after a fit of SSPrompt or one of its peers."""

from __future__ import annotations

from segtune.prompts import Prompts


def on_classes(prompts: Prompts) -> str:
    """Returns what becomes of words that no image shows; empty where there are none."""
    options = prompts.options
    if options["semantic"] != "embeddings" or options["task"] == "instance":  # without stuff
        return ""
    learned, every = len(options["classes"]), len(prompts.vocabulary)
    if learned == every:
        return ""
    return (
        f"the images show {learned} of {every} words; the others keep their default embedding and "
        "lose pixels to those that were learned, so name only what the images are about, or give "
        "more of them"
    )


def on_loss(prompts: Prompts) -> str:
    """Returns how to lose less of what the model knew; empty where nothing more can be done."""
    options = prompts.options
    if options["retain"] == "shared" and options["spatial"] == "embeddings":
        return "--set retain=exact leaves words outside of the fit as they were"
    return ""
