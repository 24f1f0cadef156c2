"""Parts of mask decoders that several frozen models share."""
