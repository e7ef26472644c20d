"""Explorables: small ipywidgets panels for the lessons, one module each.

A panel works without a GPU, never blocks 'run all', and shows one still picture where ipywidgets is missing or the page
has no kernel (a rendered notebook). Panels draw with the learner's own functions, passed in.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any


def controls(says: str, still: Callable[[], bytes | str]) -> Any:
    """ipywidgets, where a panel can live. Elsewhere None, and what can be shown is shown.

    says   printed outside a notebook
    still  gives the one picture (PNG, or HTML as text) for a notebook without ipywidgets
    """
    from IPython import get_ipython
    from IPython.display import HTML, Image, display

    if get_ipython() is None:
        print(says)
        return None
    try:
        import ipywidgets
    except ImportError:
        print("A still picture: ipywidgets is not installed.")
        picture = still()
        display(Image(picture) if isinstance(picture, bytes) else HTML(picture))
        return None
    return ipywidgets


def show_live(box: Any, picture: bytes | str, name: str) -> None:
    """The live panel, and for a page without a kernel (a rendered notebook) the picture in its place.

    picture  PNG, or SVG as text
    """
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        return
    bundle = dict(box._repr_mimebundle_())
    bundle["text/plain"] = name
    if isinstance(picture, bytes):
        bundle["image/png"] = base64.b64encode(picture).decode()
    else:
        bundle["image/svg+xml"] = picture
    display(bundle, raw=True)
