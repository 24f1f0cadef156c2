"""The bundled mask models (SEEM, MaskFormer): settings, batches, training, scores."""
