"""The page: what one chooses, and what comes of it, in Gradio.

Gradio draws the controls; clips, figures and messages are HTML of `cards`, where every text is
escaped. Nothing is asked of another host: fonts are the system's, and Gradio's telemetry is off.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any

from genzoo_rwae.errors import GenzooError, SpecError, shown
from genzoo_rwae.explore.cards import cards, figures_table, heading, said, stills
from genzoo_rwae.explore.exploration import Clip, Exploration
from genzoo_rwae.report.figures import ShownFigure

__all__ = ["import_gradio", "look", "page"]

_FURTHEST = 4.0  # standard deviations
_SAMPLES = 6


def import_gradio() -> Any:
    """Gradio, told to keep to itself.

    Raises:
        SpecError: it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when it is imported
    try:
        import gradio
    except ImportError as error:
        raise SpecError(
            "the page needs Gradio, which is not installed: pip install 'genzoo-rwae[explore]'"
        ) from error
    return gradio


def look() -> dict[str, Any]:
    """How the page looks, for whoever serves it: fonts of the system, and a style sheet."""
    base = import_gradio().themes.Base(
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    style = resources.files("genzoo_rwae.explore").joinpath("templates", "page.css")
    return {"theme": base, "css": style.read_text(encoding="utf-8"), "footer_links": []}


def page(
    exploration: Exploration,
    *,
    name: str,
    about: str = "",
    figures: Sequence[ShownFigure] = (),
    problem: str = "",
) -> Any:
    """The page of a run, as Gradio's `Blocks`.

    Args:
        exploration: what is tried.
        name: of the run.
        about: a line below it.
        figures: what was measured.
        problem: why there are no figures.
    """
    gradio = import_gradio()
    with gradio.Blocks(title=name, analytics_enabled=False) as blocks:
        _html(gradio, heading(name, about))
        with gradio.Row():
            with gradio.Column(scale=3, min_width=480), gradio.Tabs():
                with gradio.Tab("Swap"):
                    _swap(gradio, exploration)
                with gradio.Tab("Move"):
                    _move(gradio, exploration)
                with gradio.Tab("Sample"):
                    _sample(gradio, exploration)
            with gradio.Column(scale=1, min_width=280):
                _html(gradio, figures_table(figures, problem))
    return blocks


def _swap(gradio: Any, exploration: Exploration) -> None:
    first, second = exploration.offered_N[0], exploration.offered_N[-1]
    with gradio.Row():
        static = _chooser(gradio, exploration, "Static code of", first)
        motion = _chooser(gradio, exploration, "Motion of", second)
    with gradio.Row(elem_classes="actions"):
        chosen = _actions(gradio, exploration, "the motion's own")
        turn = gradio.Button("Exchange the two", size="sm")
    shows = _shows(
        exploration, lambda i, j, *k: exploration.swap(_whole(i), _whole(j), *map(_action, k))
    )
    result = _html(gradio, shows(first, second), "swapped")
    inputs = [static, motion, *chosen]
    for control in inputs:
        control.change(shows, inputs, result, **_QUICK)
    turn.click(lambda i, j: (j, i), [static, motion], [static, motion], **_QUICK)


def _move(gradio: Any, exploration: Exploration) -> None:
    first = exploration.offered_N[0]
    index = _chooser(gradio, exploration, "Sequence", first)
    result = _html(gradio, "", "moved")
    back = gradio.Button("Back to where it was", size="sm")
    sliders: dict[str, list[Any]] = {}
    with gradio.Row():
        for code, found in exploration.directions.items():
            with gradio.Column(min_width=240, elem_classes="close"):
                _html(gradio, f"<h3>{code} code</h3>")
                sliders[code] = [
                    gradio.Slider(
                        -_FURTHEST, _FURTHEST, 0, step=0.1, elem_id=f"{code}-{number + 1}",
                        label=f"direction {number + 1}: {share:.0%} of the variance",
                        buttons=[],
                    )
                    for number, share in enumerate(found.share_R.tolist())
                ]  # fmt: skip
    count = len(sliders["static"])

    def moved(i: object, *places: float) -> tuple[Clip, ...]:
        return exploration.move(_whole(i), places[:count], places[count:])

    shows = _shows(exploration, moved)
    every = [*sliders["static"], *sliders["dynamic"]]
    result.value = shows(first, *[0.0] * len(every))
    index.change(shows, [index, *every], result, **_QUICK)
    for slider in every:
        # what the button below sets is no input: the result is then made once, not for each
        slider.input(shows, [index, *every], result, **_QUICK)
    back.click(lambda: [0.0] * len(every), None, every, **_QUICK).then(
        shows, [index, *every], result, **_QUICK
    )


def _sample(gradio: Any, exploration: Exploration) -> None:
    length = exploration.model.info.length
    with gradio.Row():
        count = gradio.Slider(
            *exploration.counts, _SAMPLES, step=1, label="How many", buttons=[], elem_id="count"
        )
        steps = gradio.Slider(
            *exploration.lengths, length, step=1, buttons=[], elem_id="steps",
            label=f"Steps (the data have {length})",
        )  # fmt: skip
        seed = gradio.Number(0, label="Seed", precision=0, elem_id="seed")
    with gradio.Row(elem_classes="actions"):
        chosen = _actions(gradio, exploration, "drawn")
        anew = gradio.Button("Draw anew", size="sm")
    shows = _shows(
        exploration,
        lambda n, t, seed, *k: exploration.sample(
            _whole(n), _whole(t), _whole(seed), *map(_action, k)
        ),
    )
    result = _html(gradio, shows(_SAMPLES, length, 0), "sampled")
    inputs = [count, steps, seed, *chosen]
    for control in inputs:
        control.change(shows, inputs, result, **_QUICK)
    anew.click(lambda seed: int(seed or 0) + 1, seed, seed, **_QUICK)


# one deed at a time, of a slider that runs the last one; no bar over what takes a moment
_QUICK: dict[str, Any] = {
    "show_progress": "hidden",
    "trigger_mode": "always_last",
    "concurrency_id": "model",
    "api_visibility": "private",
}


def _html(gradio: Any, text: str, name: str | None = None) -> Any:
    """A piece of `cards`, in our own style."""
    return gradio.HTML(text, elem_id=name, apply_default_css=False)


def _chooser(gradio: Any, exploration: Exploration, label: str, index: int) -> Any:
    """Sequences to click on, above the number of the one that is chosen; returns the number."""
    offered = exploration.offered_N
    pictures = stills(exploration.originals(offered), exploration.data)
    with gradio.Column(min_width=240, elem_classes="close"):
        _html(gradio, f"<h3>{label}</h3>")
        gallery = gradio.Gallery(
            list(zip(pictures, map(str, offered), strict=True)),
            show_label=False, columns=6, height=190, allow_preview=False, object_fit="contain",
            selected_index=offered.index(index), buttons=[], format="png", interactive=False,
            elem_classes="chooser",
        )  # fmt: skip
        number = gradio.Number(
            index, label=f"or its place, 0 to {len(exploration.data) - 1}", precision=0,
            elem_classes="place",
        )  # fmt: skip

    def select(event: gradio.SelectData) -> int:
        return int(offered[event.index])

    select.__annotations__["event"] = gradio.SelectData  # Gradio looks for it there
    gallery.select(select, None, number, **_QUICK)
    return number


def _actions(gradio: Any, exploration: Exploration, otherwise: str) -> list[Any]:
    """A choice of the model's actions; none where it has none."""
    if not exploration.model.actions:
        return []
    choices = [otherwise, *map(str, range(exploration.model.actions))]
    return [gradio.Radio(choices, value=otherwise, label="Action", elem_classes="action")]


def _shows(exploration: Exploration, does: Callable[..., Sequence[Clip]]) -> Callable[..., str]:
    """What a control calls: clips as HTML, or in words why there are none."""

    def show(*values: object) -> str:
        try:
            return cards(does(*values), exploration.data)
        except GenzooError as error:
            return said(shown(str(error)))

    return show


def _action(value: object) -> int | None:
    """One of the model's actions; None for what stands before them."""
    text = str(value)
    return int(text) if text.isdecimal() else None


def _whole(value: object) -> int:
    if isinstance(value, int | float) and value == int(value):
        return int(value)
    raise SpecError("wanted a whole number")
