"""Explorables: small ipywidgets panels for the lessons, one module each.

A panel works without a GPU, never blocks 'run all', and shows one still picture where ipywidgets is missing or the page
has no kernel (a rendered notebook). Panels draw with the learner's own functions, passed in.
"""

from __future__ import annotations

import base64
from typing import Any


def show_live(box: Any, picture: bytes, name: str) -> None:
    """The live panel, and for a page without a kernel (a rendered notebook) the picture (PNG) in its place."""
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        return
    bundle = dict(box._repr_mimebundle_())
    bundle["text/plain"] = name
    bundle["image/png"] = base64.b64encode(picture).decode()
    display(bundle, raw=True)
