"""Specs that coverage steers to: whatever stands in a file, reading it ends in words, and soon.

    python tests/host/fuzz_specs.py FOLDER -max_total_time=600

libFuzzer mutates the specs of the zoo, and what reaches code of the reader that nothing reached
before is mutated further: it is kept in FOLDER/corpus, where the next run goes on. The first file
that breaks what test_mutated_specs.py wants of all ends the run; it lies in FOLDER/findings.
What follows FOLDER are options of libFuzzer (`-runs=10000`, `-seed=1`; `-help=1` lists them).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

HANG = 120  # seconds on the clock, of which a busy machine may give few to this process
LONGEST_SPEC = 8_000  # bytes: thrice the longest of the zoo; larger ones only take longer
WORD_BY_WORD = 0.5  # of the mutations; the others are libFuzzer's own, of bytes
REPORT_EVERY = 1_000  # specs; before that, whenever their number has doubled


def dictionary(words: Iterable[bytes]) -> str:
    """The words as a file of libFuzzer, which takes none that are longer than 64 bytes."""
    taken = [word for word in words if 0 < len(word) <= 64]
    return "".join('"' + "".join(f"\\x{byte:02X}" for byte in word) + '"\n' for word in taken)


def with_another_word(spec: bytes, words: Sequence[bytes], random: Random) -> bytes:
    """A spec one of whose words is another: most are YAML still, which few bytes by chance are."""
    found = [match.span() for match in re.finditer(rb"[\w.+-]+", spec)] or [(0, 0)]
    first, end = random.choice(found)
    return spec[:first] + random.choice(words) + spec[end:]


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(f"usage: {sys.argv[0]} FOLDER [OPTION OF LIBFUZZER]...")
    try:
        import atheris
    except ImportError:
        sys.exit("fuzzing needs atheris, which is not installed: pip install 'genzoo-rwae[fuzz]'")
    with atheris.instrument_imports(include=["genzoo_rwae"]):  # what the reader imports, no more
        from genzoo_rwae.spec import load_spec  # noqa: F401
    from test_mutated_specs import MEGABYTES, TEXTS, WORDS, Readings, canaries

    from genzoo_rwae.catalogue import zoo_specs

    folder = Path(sys.argv[1]).resolve()
    for place in (folder / "corpus", folder / "findings"):
        place.mkdir(parents=True, exist_ok=True)
    specs = canaries(folder)
    sys.path[0] = str(folder)  # instead of the tests, which no spec is to find
    os.chdir(specs)
    for text in TEXTS:  # imports what specs of the zoo need
        Readings(specs).read(text.encode())
    readings = Readings(specs)
    words = [str(word).encode("utf-8", "surrogatepass") for word in WORDS]
    (folder / "words.dict").write_text(dictionary(words), encoding="ascii")

    def tried(raw: bytes) -> None:
        readings.read(raw)
        assert readings.grown < MEGABYTES
        number = readings.ended.total()
        if number % REPORT_EVERY == 0 or number & (number - 1) == 0:
            print(readings, file=sys.stderr)

    def mutated(raw: bytes, longest: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < WORD_BY_WORD:
            return with_another_word(raw, words, random)[:longest]
        return bytes(atheris.Mutate(raw, longest))

    atheris.Setup(
        [
            sys.argv[0],
            str(folder / "corpus"),
            str(next(iter(zoo_specs().values())).parent),
            f"-artifact_prefix={folder / 'findings'}/",
            f"-dict={folder / 'words.dict'}",
            f"-max_len={LONGEST_SPEC}",
            f"-timeout={HANG}",
            "-print_final_stats=1",
            *sys.argv[2:],
        ],
        tried,
        custom_mutator=mutated,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
