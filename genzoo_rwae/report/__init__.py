"""What a run shows to its reader: pictures, curves, the report page and the model card.

`pictures` draws clips, `curves` the training, `figures` reads evaluation.json, `page` writes
report.html and `card` the README.md of a run folder. Nothing here knows a component by name, and
only `pictures` and `curves` (and so `page`) import matplotlib.
"""
