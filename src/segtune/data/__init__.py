"""Images with labels: from files of any common layout, generated, sampled, augmented.

Where is what:
    formats: `open_dataset` and one file per annotation format; writers too.
    images, labels: pictures and index maps on disk, and what their values mean.
    samples, folders: datasets that are an index of files, and what folder layouts share.
    shots: which images a few-shot run may see.
    examples, transforms, photometric: samples as tensors, and training augmentation.
    synthetic: the generated world.
"""
