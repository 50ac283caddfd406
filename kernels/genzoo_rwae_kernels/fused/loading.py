"""A compiled library for use: loaded at the first call, trusted after a test of its own."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor

from genzoo_rwae_kernels.fused.build import BuildError, library_files

__all__ = ["SWITCH", "Compiled", "at", "numbered"]

SWITCH = "GENZOO_FUSED"

_Code = TypeVar("_Code")


class Compiled(Generic[_Code]):
    """The code of a source, as Python calls it.

    Args:
        source: a C++ file with an extern "C" interface.
        opened: makes the code callable; may raise AttributeError for a function that is missing.
        wrong: what it gets wrong on a small input, in a sentence; empty if nothing.
    """

    def __init__(
        self,
        source: Path,
        opened: Callable[[ctypes.CDLL], _Code],
        wrong: Callable[[_Code], str],
    ) -> None:
        self.source, self._opened, self._wrong = source, opened, wrong
        self._lock = threading.Lock()
        self._found: _Code | str | None = None

    def load(self) -> _Code:
        """The code; the first call builds or loads it and tests it.

        Raises:
            BuildError: it cannot be had here, or is switched off.
        """
        if os.environ.get(SWITCH) == "0":
            raise BuildError(f"the environment variable {SWITCH} is 0, which switches it off")
        if self._found is None:
            with self._lock:
                if self._found is None:
                    try:
                        self._found = self._first_that_works()
                    except (BuildError, OSError) as reason:  # there is another way for everything
                        self._found = str(reason)
        if isinstance(self._found, str):
            raise BuildError(self._found)
        return self._found

    def why_not(self) -> str:
        """Why the code cannot be had here, in a sentence; empty if it can."""
        try:
            self.load()
        except BuildError as reason:
            return str(reason)
        return ""

    def _first_that_works(self) -> _Code:
        if sys.platform == "win32":
            raise BuildError("it is written for Linux and macOS")
        for path in library_files(self.source):
            try:
                code = self._opened(ctypes.CDLL(str(path)))
                # the first call may come from where there are no gradients, as from a metric; this
                # gives them back to no_grad as well
                with torch.inference_mode(False):
                    wrong = self._wrong(code)
            except (OSError, AttributeError, RuntimeError) as error:
                wrong = str(error)
            if not wrong:
                return code
            path.unlink(missing_ok=True)
        raise BuildError(f"the code that this compiler makes failed its self-test: {wrong}")


def at(tensor: Tensor | None) -> int | None:
    """Where a tensor begins, as the compiled code takes it."""
    return None if tensor is None else tensor.data_ptr()


def numbered(length: int) -> Tensor:
    """0, 1, 2, ... whatever the process's default dtype and device are; no generator is used."""
    return torch.arange(length, dtype=torch.float32, device="cpu")
