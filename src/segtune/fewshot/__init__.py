"""Learning prompts from labelled images: views, batches, trials on held-out shots, the fit."""
