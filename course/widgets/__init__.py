"""Explorables: small ipywidgets panels for the lessons, one module each.

A panel works without a GPU, never blocks 'run all', and shows one still picture where ipywidgets is missing or the page
has no kernel (a rendered notebook). Panels draw with the learner's own functions, passed in.
"""
