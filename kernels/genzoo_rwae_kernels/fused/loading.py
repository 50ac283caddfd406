"""A compiled library for use: loaded at the first call, trusted after a test of its own."""

from __future__ import annotations

import ctypes
import logging
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
_log = logging.getLogger("genzoo_rwae_kernels")


class Compiled(Generic[_Code]):
    """The code of a source, as Python calls it.

    Args:
        source: a C++ file with an extern "C" interface.
        what: what it does, for a sentence.
        opened: makes the code callable; may raise AttributeError for a function that is missing.
        wrong: what it gets wrong on a small input, in a sentence; empty if nothing.
    """

    def __init__(
        self,
        source: Path,
        what: str,
        opened: Callable[[ctypes.CDLL], _Code],
        wrong: Callable[[_Code], str],
    ) -> None:
        self.source, self._what, self._opened, self._wrong = source, what, opened, wrong
        self._has_warned = False
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

    def works(self) -> bool:
        """Whether the code can be had here; where it cannot, the first call warns and says why."""
        if os.environ.get(SWITCH) == "0":  # as somebody wants it
            return False
        reason = self.why_not()
        if reason and not self._has_warned:
            self._has_warned = True
            _log.warning("%s is slower than it could be: %s", self._what, reason)
        return not reason

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
                wrong = _elsewhere(self._wrong, code)
            except (OSError, AttributeError) as error:
                wrong = str(error)
            if not wrong:
                return code
            path.unlink(missing_ok=True)
        raise BuildError(f"the code that this compiler makes failed its self-test: {wrong}")


def _elsewhere(test: Callable[[_Code], str], code: _Code) -> str:
    """A test's answer from a thread of its own.

    The first call may come from where there are no gradients, from within autocast, or from where
    operations are watched: all of that holds in its own thread alone.
    """
    said = []

    def run() -> None:
        try:
            said.append(test(code))
        except RuntimeError as error:
            said.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return said[0] if said else "its self-test ended with an error"


def at(tensor: Tensor | None) -> int | None:
    """Where a tensor begins, as the compiled code takes it."""
    return None if tensor is None else tensor.data_ptr()


def numbered(length: int) -> Tensor:
    """0, 1, 2, ... whatever the process's default dtype and device are; no generator is used."""
    return torch.arange(length, dtype=torch.float32, device="cpu")
