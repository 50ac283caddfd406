"""Compile a C++ source once per machine and keep the library in a folder of the user's own.

The library's name carries a key (source, compiler, flags, processor) and a digest of its contents:
a folder that several machines share never gives one of them another's code, and a file that was
cut short or altered is not loaded. Files appear under their name when they are complete, so any
number of processes may build at once.
"""

import hashlib
import logging
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["BuildError", "cache_folder", "compiler", "library_files"]

FLAGS = (
    *("-std=c++17", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
    *("-fPIC", "-shared", "-pthread", "-fvisibility=hidden", "-w"),
)
# Tried in this order: the system's libstdc++ can be newer than one that is already loaded, so it
# is linked in where the compiler can; not every compiler knows -march=native.
CHOICES: tuple[tuple[str, ...], ...] = (
    ("-march=native", "-static-libstdc++", "-static-libgcc", "-Wl,--exclude-libs,ALL"),
    ("-march=native",),
    ("-mcpu=native",),
    (),
)
TIMEOUT = 120.0  # seconds; a build takes about 5

_log = logging.getLogger("genzoo_rwae_kernels")
_CPU_KEYS = ("vendor_id", "cpu family", "model", "stepping", "flags", "features", "isa")


class BuildError(Exception):
    """No library can be had here; the message is a sentence that says why."""


def compiler() -> tuple[str, ...]:
    """The C++ compiler's command: that of CXX, else g++, clang++ or c++ on the PATH.

    Raises:
        BuildError: there is none.
    """
    try:
        named = shlex.split(os.environ.get("CXX", ""))
    except ValueError as error:
        raise BuildError(f"CXX is no command ({error}): {os.environ['CXX']!r}") from error
    for words in [named] if named else [["g++"], ["clang++"], ["c++"]]:
        found = shutil.which(words[0])
        if found is not None:
            return (found, *words[1:])
    if named:
        raise BuildError(f"the compiler that CXX names, {named[0]}, is not there")
    raise BuildError("no C++ compiler on the PATH (looked for g++, clang++ and c++; CXX names one)")


def cache_folder() -> Path:
    """The folder for libraries, made if need be; nobody else can write into it.

    It is genzoo-rwae/ in XDG_CACHE_HOME, or in ~/.cache.

    Raises:
        BuildError: it cannot be made, or others can write into it.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not Path(base).is_absolute():  # the standard's word for what to do with such a value
        base = "~/.cache"
    try:
        folder = Path(base).expanduser() / "genzoo-rwae"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.stat()
    except (OSError, RuntimeError) as error:
        raise BuildError(
            f"no folder for compiled code could be made in {base} ({error}); XDG_CACHE_HOME "
            f"names another place"
        ) from error
    if not _private(state):
        raise BuildError(
            f"others own or can write into {folder}, so code in it is not trusted; mend it with "
            f"chmod go-w {folder}"
        )
    return folder


def library_files(source: Path) -> Iterator[Path]:
    """Libraries of a source for this machine: those kept first, then one that is newly built.

    Take the first that works; delete one that does not.

    Args:
        source: a C++ file with an extern "C" interface; its headers (.hpp) lie beside it.

    Raises:
        BuildError: there is no compiler, no folder, or compilation failed.
    """
    command = compiler()
    folder = cache_folder()
    stem = f"{source.stem}-{_key(source, command)}"
    for path in sorted(folder.glob(f"{stem}-*.so")):
        if _whole(path):
            yield path
        else:
            path.unlink(missing_ok=True)
    yield _build(source, command, folder, stem)


def _build(source: Path, command: tuple[str, ...], folder: Path, stem: str) -> Path:
    _log.info("building %s with %s (once)", source.name, command[0])
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix="building-") as temporary:
            made = Path(temporary) / "library.so"
            _compile(source, command, made)
            made.chmod(0o700)
            path = folder / f"{stem}-{_digest(made)}.so"
            made.replace(path)
    except OSError as error:
        raise BuildError(f"compiled code could not be kept in {folder} ({error})") from error
    return path


def _compile(source: Path, command: tuple[str, ...], made: Path) -> None:
    said = ""
    for choice in CHOICES:
        words = [*command, *FLAGS, *choice, "-o", str(made), str(source)]
        try:
            done = subprocess.run(
                words,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BuildError(f"the compiler {command[0]} did not run ({error})") from error
        if done.returncode == 0 and made.is_file():
            return
        said = done.stderr
    complaints = [line for line in said.splitlines() if "error" in line.lower()]
    complaint = (complaints or said.splitlines() or ["it said nothing"])[0]
    raise BuildError(f"the compiler {command[0]} failed on {source.name} ({complaint.strip()})")


def _key(source: Path, command: tuple[str, ...]) -> str:
    program = Path(command[0]).resolve()
    state = program.stat()
    headers = sorted(source.parent.glob("*.hpp"))
    parts = (
        *(file.read_text(encoding="utf-8") for file in [source, *headers]),
        *(*command, str(program), str(state.st_size), str(state.st_mtime_ns)),
        *(repr((FLAGS, CHOICES)), _processor()),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def _processor() -> str:
    """What decides the code that -march=native makes."""
    lines = [sys.platform, platform.machine(), platform.processor()]
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
        lines += [line for line in first.splitlines() if line.lower().startswith(_CPU_KEYS)]
        lines += [line for line in first.splitlines() if line.startswith("CPU ")]
    except OSError:
        lines.append(" ".join(platform.uname()))
    return "\n".join(lines)


def _whole(path: Path) -> bool:
    try:
        trusted = _private(path.lstat()) and stat.S_ISREG(path.lstat().st_mode)
        return trusted and path.stem.endswith(f"-{_digest(path)}")
    except OSError:
        return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def _private(state: os.stat_result) -> bool:
    others_write = state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return state.st_uid == os.getuid() and not others_write
