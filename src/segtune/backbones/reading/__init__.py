"""Reading of key layouts, Hugging Face folders and official containers."""
