"""Explorables: small ipywidgets panels for the lessons, one module each.

A panel works without a GPU, never blocks 'run all', and where ipywidgets is missing or nobody listens (papermill, a
plain script) it shows one still picture instead. Panels draw with the learner's own functions, passed in.
"""
