"""From a trained model and its data to the pictures, the page and the card of a run folder.

Shapes: R rows and C columns of a swap grid, T time, ... the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from einops import rearrange, repeat
from torch import Tensor

from genzoo_rwae.evaluation.codes import spread_indices
from genzoo_rwae.evaluation.measure import wants_judge
from genzoo_rwae.files import write_atomic
from genzoo_rwae.padding import true_steps
from genzoo_rwae.report.bands import posterior_band
from genzoo_rwae.report.card import Card, model_card
from genzoo_rwae.report.curves import read_history
from genzoo_rwae.report.facts import CardPart, DataFacts, RunFacts
from genzoo_rwae.report.figures import read_figures
from genzoo_rwae.report.frames import draws_lines
from genzoo_rwae.report.gallery import FoundAction, action_film, action_sheet, found_actions
from genzoo_rwae.report.page import write_report
from genzoo_rwae.report.pictures import (
    clip_film,
    clip_rows,
    reconstruction_rows,
    save_gif,
    save_png,
    swap_grid,
    swap_sheet,
)
from genzoo_rwae.report.sounds import save_wav
from genzoo_rwae.training.randomness import step_generator

if TYPE_CHECKING:
    from PIL.Image import Image

    from genzoo_rwae.evaluation import Splits
    from genzoo_rwae.run_folder import RunFolder
    from genzoo_rwae.sequence_model import SequenceModel
    from genzoo_rwae.sequences import SequenceData
    from genzoo_rwae.spec import Spec

__all__ = [
    "card_of",
    "compose_pictures",
    "compose_report",
    "compose_sounds",
    "draw",
    "reconstruction_picture",
    "save_actions",
    "swap_all",
]

_ROWS = 6
_HEARD = 2  # sequences: each is heard as it is, reconstructed, and swapped with the other


def draw(run: RunFolder, spec: Spec, model: SequenceModel, splits: Splits) -> Path:
    """Pictures, sounds, page and card of a run folder, which vouches for them; the page's path."""
    seed = spec.train.seed
    with run.redrawn(*run.pages, *run.drawings()) as written:
        written += compose_pictures(model, splits, run.pictures, seed=seed)
        written += compose_sounds(model, splits, run.sounds, seed=seed)
        page = compose_report(run, spec, model, splits, finished=True)
        written += run.pages
    return page


def compose_pictures(
    model: SequenceModel, splits: Splits, folder: Path, *, seed: int
) -> list[Path]:
    """Reconstructions, swap grid, samples and long roll-outs of a model, into a folder.

    Of a model with actions, a gallery of them as well. Returns the paths of all.
    """
    data: SequenceData = splits.test if len(splits.test) else splits.train
    batch = data.take(spread_indices(len(data), 2 * _ROWS))
    x_BT, lengths_B = model.prepare(batch.x_BT), batch.lengths_B
    rows_RT, columns_CT = x_BT[:_ROWS], x_BT[-_ROWS:]
    display = data.info.display
    picture = reconstruction_picture(
        model, rows_RT, lengths_B[:_ROWS], step_generator(seed, "measure", 2)
    )
    written = [save_png(picture, folder / "reconstruction.png")]
    lengths = lengths_B[:_ROWS], lengths_B[-_ROWS:]
    clips = rows_RT, columns_CT, swap_all(model, rows_RT, columns_CT, *lengths)
    written += [
        save_png(swap_sheet(*clips, *lengths, display=display), folder / "swap.png"),
        save_gif(swap_grid(*clips, *lengths, display=display), folder / "swap.gif"),
    ]
    generator = step_generator(seed, "measure", 1)
    samples_BT = model.sample(_ROWS, generator=generator).x_BT
    written += [
        save_png(clip_rows(samples_BT, display=display), folder / "sample.png"),
        save_gif(clip_film(samples_BT, display=display), folder / "sample.gif"),
    ]
    length = 4 * model.info.length
    long_BT = model.sample(_ROWS, length, generator=generator).x_BT
    said = f"Samples of {length} steps; the model was trained on {model.info.length}."
    written += [
        save_png(clip_rows(long_BT, display=display), folder / "rollout.png", caption=said),
        save_gif(clip_film(long_BT, display=display), folder / "rollout.gif", caption=said),
    ]
    if found := found_actions(model, data, seed=seed):
        written += save_actions(found, folder)
    return written


def compose_sounds(model: SequenceModel, splits: Splits, folder: Path, *, seed: int) -> list[Path]:
    """Of data that are sound: two sequences, reconstructed and swapped, and samples, as wav files.

    Reconstructions and swaps keep the phase of the sequence that gives the motion. Returns the
    paths of all.
    """
    data: SequenceData = splits.test if len(splits.test) else splits.train
    display = model.info.display
    if display is None or display.form != "spectrogram":
        return []
    batch = data.take(spread_indices(len(data), _HEARD))
    x_BT, lengths_B = model.prepare(batch.x_BT), batch.lengths_B
    swapped_RCT = swap_all(model, x_BT, x_BT, lengths_B, lengths_B)
    samples_BT = model.sample(_HEARD, generator=step_generator(seed, "measure", 3)).x_BT
    heard: dict[str, tuple[Tensor, int | None]] = {
        f"sample-{n}": (x_T, None) for n, x_T in enumerate(samples_BT)
    }
    places = batch.indices_B.tolist()
    for row, i in enumerate(places):
        for column, j in enumerate(places):
            name = f"reconstruction-{i}" if i == j else f"swap-{i}-{j}"
            heard[name] = swapped_RCT[row, column, : int(lengths_B[column])], j
        heard[f"original-{i}"] = batch.x_BT[row, : int(lengths_B[row])], i
    return [
        save_wav(sound, folder / f"{name}.wav")
        for name, (x_T, like) in heard.items()
        if (sound := data.sound(x_T, like=like))
    ]


def reconstruction_picture(
    model: SequenceModel, x_BT: Tensor, lengths_B: Tensor, generator: torch.Generator
) -> Image:
    """Sequences and their reconstructions; lines have a band of decodes of posterior samples.

    Args:
        model: that reconstructs.
        x_BT: [B, T, ...], as a source gives them.
        lengths_B: true lengths.
        generator: of the samples.
    """
    display = model.info.display
    band_2BT = None
    if draws_lines(model.info.frame_shape, display):
        band_2BT = posterior_band(model, x_BT, lengths_B, generator)
    return reconstruction_rows(
        model.prepare(x_BT),
        model.reconstruct(x_BT, lengths_B).x_hat_BT,
        lengths_B=lengths_B,
        display=display,
        band_2BT=band_2BT,
    )


def save_actions(found: Sequence[FoundAction], folder: Path) -> list[Path]:
    """Save the gallery of a model's actions; the paths of its still and of its moving picture."""
    said = (
        "A row for every action that the model tells apart: its index, and how many sequences have "
        "it. On the left those that have it most surely, on the right samples with it; samples of "
        "one column differ in nothing but their action."
    )
    return [
        save_png(action_sheet(found), folder / "actions.png", caption=said),
        save_gif(action_film(found), folder / "actions.gif", caption=said),
    ]


def swap_all(
    model: SequenceModel,
    static_RT: Tensor,
    dynamic_CT: Tensor,
    static_lengths_R: Tensor,
    dynamic_lengths_C: Tensor,
    *,
    action: int | None = None,
) -> Tensor:
    """Every static code with every motion: [R, C, T, ...]; 0 beyond the motion's true length.

    `action`, if it is given, is that of all, in place of the motions' own.
    """
    rows, columns = len(static_RT), len(dynamic_CT)
    static_BT = repeat(static_RT, "r ... -> (r c) ...", c=columns)
    dynamic_BT = repeat(dynamic_CT, "c ... -> (r c) ...", r=rows)
    static_lengths_B = repeat(static_lengths_R, "r -> (r c)", c=columns)
    dynamic_lengths_B = repeat(dynamic_lengths_C, "c -> (r c)", r=rows)
    swapped_BT = model.swap(
        static_BT, dynamic_BT, static_lengths_B, dynamic_lengths_B, action=action
    ).x_BT
    swapped_BT[~true_steps(swapped_BT.shape[1], dynamic_lengths_B)] = 0
    return rearrange(swapped_BT, "(r c) ... -> r c ...", r=rows)


def compose_report(
    run: RunFolder,
    spec: Spec,
    model: SequenceModel,
    splits: Splits | None,
    *,
    finished: bool,
) -> Path:
    """Write report.html and README.md of a run folder; returns the page's path."""
    resolved = spec.resolved or {}
    card = card_of(run, spec, model, splits)
    write_atomic(run.path / "README.md", model_card(card))
    said = f"Data: {model.info.licence}" if model.info.licence else ""
    facts = RunFacts(
        name=spec.name,
        summary=" ".join((spec.description, said)).strip(),
        training="finished" if finished else "unfinished",
        command=card.command,
        versions=card.versions,
        device=str(resolved.get("machine", "")),
        seconds=_training_seconds(run),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        parts=card.parts,
    )
    return write_report(run.path, facts)


def card_of(run: RunFolder, spec: Spec, model: SequenceModel, splits: Splits | None) -> Card:
    """What the model card of a run folder says."""
    resolved = spec.resolved or {}
    return Card(
        name=spec.name,
        summary=spec.description,
        parts=tuple(_card_parts(spec)),
        data=_data_facts(spec, model, splits),
        figures=read_figures(run.evaluation) if run.evaluation.is_file() else (),
        versions=resolved.get("versions", {}),
        command=str(resolved.get("command", "")),
    )


def _training_seconds(run: RunFolder) -> float | None:
    """Training time so far, as the last row of metrics.jsonl has it."""
    if not run.metrics.is_file():
        return None
    told = (row.get("seconds") for row in read_history(run.metrics).rows)
    found = [seconds for seconds in told if isinstance(seconds, float)]
    return found[-1] if found else None


def _card_parts(spec: Spec) -> list[CardPart]:
    from genzoo_rwae.components import summary_of

    rows = []
    used = any(map(wants_judge, spec.evaluate))
    for part in spec.parts():
        if part.path.partition(".")[0] == "judge" and not used:
            continue
        entry, component = part.registered.entry, part.registered.component
        paper = (entry.paper.title, entry.paper.arxiv) if entry and entry.paper else ("", "")
        rows.append(
            CardPart(part.path, component.kind, part.name, summary_of(component.build), paper)
        )
    # no component, yet what tells R-WAE from what goes beyond it: said with and without it
    about = "A price on the information in a code, beyond the published objective."
    prices = vars(spec.objective.information)
    return rows + [
        CardPart(f"objective.information.{code}", "price", str(price), about)
        for code, price in prices.items()
    ]


def _data_facts(spec: Spec, model: SequenceModel, splits: Splits | None) -> DataFacts:
    info = model.info
    counts = {name: len(data) for name, data in vars(splits).items()} if splits else {}
    return DataFacts(
        name=spec.data.name,
        frame_shape=info.frame_shape,
        length=info.length,
        sequences=counts,
        factors=tuple((f.name, len(f.classes), f.code) for f in info.factors),
        note=info.licence,
    )
