"""SAM, SAM 2 and SAM 3, through transformers."""
