"""The bundled CLIP ViT: settings, data, model, loss, training, scores."""
