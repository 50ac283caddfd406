"""What a checkpoint file from a stranger has to be before torch reads it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

__all__ = ["check_archive", "check_fields"]

_NUMBER = (int, float)


def check_archive(path: Path) -> None:
    """Refuse a file for which torch would set more memory aside than the file has bytes.

    `torch.save` stores. What is deflated, tells of parts that are together larger than the file, or
    is of the format before (whose tensors are as large as a pickle says), is nobody's checkpoint.

    Raises:
        ValueError: it is such a file.
    """
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, RuntimeError, EOFError) as error:
        raise ValueError(f"no zip archive: {error}") from error
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("its parts are compressed")
    if (held := sum(entry.file_size for entry in entries)) > size:
        raise ValueError(f"its parts have {held:,} bytes, the file {size:,}")


def check_fields(content: dict[str, Any], size: int) -> None:
    """Refuse fields of a checkpoint that are of no use to a run.

    Args:
        content: all fields of a State.
        size: bytes of the file, which no tensor in it can be larger than.

    Raises:
        ValueError: a field of another type, or a tensor that is a few numbers told as many.
    """
    right = {
        "spec": isinstance(content["spec"], str),
        "step": type(content["step"]) is int and content["step"] >= 0,
        "seconds": isinstance(content["seconds"], _NUMBER),
        "precision": content["precision"] in ("bf16", "float32"),
        "best": content["best"] is None or isinstance(content["best"], _NUMBER),
    }
    right |= {name: isinstance(content[name], dict) for name in ("model", "objective", "optimizer")}
    if wrong := [name for name, fits in right.items() if not fits]:
        raise ValueError(f"found {type(content[wrong[0]]).__name__} as its {wrong[0]}")
    for tensor in _tensors(content):
        if tensor.numel() * tensor.element_size() > size:
            raise ValueError(f"a tensor of shape {list(tensor.shape)} in a file of {size:,} bytes")


def _tensors(value: object) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list | tuple):
        return []
    return [tensor for child in inner for tensor in _tensors(child)]  # type: ignore[attr-defined]
