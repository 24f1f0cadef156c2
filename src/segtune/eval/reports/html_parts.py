"""Pieces of the HTML of a report: sections, pictures, numbers."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable
from html import escape

import numpy as np
from PIL import Image


def section(title: str, lead: str, body: str) -> str:
    """Returns a headed part of the page; `lead` is text, `body` is HTML."""
    return f'<section><h2>{title}</h2><p class="lead">{escape(lead)}</p>{body}</section>\n'


def figure(image: np.ndarray, title: str, note: str, *, quality: int = 90) -> str:
    """Returns a figure with the picture inlined as JPEG; `title` is text, `note` is HTML."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    height, width = image.shape[:2]
    return (
        f'<figure><img alt="{escape(title)}" width="{width}" height="{height}" '
        f'src="data:image/jpeg;base64,{data}"><figcaption><b>{escape(title)}</b>'
        f"<span>{note}</span></figcaption></figure>"
    )


def fill(value: float) -> str:
    """Returns the filled part of a bar."""
    return f'<i style="width:{0 if math.isnan(value) else 100 * value:.1f}%"></i>'


def percent(value: float) -> str:
    """Returns a fraction as percent with one decimal, a dash for NaN, as HTML."""
    return "&ndash;" if math.isnan(value) else f"{100 * value:.1f}"


def signed_change(value: float) -> str:
    """Returns a signed change in points, coloured unless it rounds to nothing."""
    if math.isnan(value):
        return ""
    points = round(100 * value, 1)
    tone = "up" if points > 0 else "down" if points < 0 else ""
    sign = "+" if points > 0 else "&minus;" if points < 0 else "&plusmn;"
    return f'<span class="change {tone}">{sign}{abs(points):.1f}</span>'


def or_below(value: float) -> float:
    """Returns `value`, NaN as less than everything."""
    return -math.inf if math.isnan(value) else value


def plain(value: object) -> str:
    """Returns a field of a protocol as text; empty where it does not apply."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(str(item) for item in value)
    return "" if value is None else str(value)


def folded(text: str) -> str:
    """Returns escaped text; long lists fold away."""
    if len(text) <= 240:
        return escape(text) or "&ndash;"
    return f"<details><summary>{escape(text[:80])} …</summary>{escape(text)}</details>"
