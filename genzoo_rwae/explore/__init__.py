"""A local page on which one tries a finished run: swaps, moves along directions, samples.

`exploration` makes the sequences, `cards` shows them as HTML, `page` puts controls around them and
`server` hands the page to this machine's browser. Only the last two import Gradio, an extra.
"""
