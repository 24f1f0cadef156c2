"""SEEM and X-Decoder: what they are, their key tables and their files."""
