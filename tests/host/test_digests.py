"""What digests.json vouches for, and that no order of events makes it wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genzoo_rwae.digests import Digest, Digests
from genzoo_rwae.errors import CheckpointError


@pytest.fixture
def digests(tmp_path: Path) -> Digests:
    """Those of a folder with one file, which was written twice."""
    digests = Digests(tmp_path)
    for content in (b"first", b"second"):
        write(digests, "file", content)
    return digests


def write(digests: Digests, name: str, content: bytes) -> Path:
    path = digests.folder / name
    digests.expect({path: Digest.of(content)})
    path.write_bytes(content)
    return path


def test_the_digest_of_a_file_is_that_of_its_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert Digest.of_file(tmp_path / "file") == Digest.of(b"abc") == Digest(3, wanted)


def test_what_was_written_last_is_sound_and_anything_else_is_named(digests: Digests) -> None:
    path = digests.folder / "file"
    digests.check(path, "")
    assert digests.damaged() == []
    for damage in (b"secone", b"secon", b"", b"second "):
        path.write_bytes(damage)
        assert digests.damaged() == [path]
        with pytest.raises(CheckpointError) as caught:
            digests.check(path, "Do this")
        message = str(caught.value)
        assert message.startswith(f"{path} is not what genzoo wrote: found {len(damage)} bytes")
        assert "Do this. " in message


def test_a_write_that_was_noted_and_never_came_is_no_damage(digests: Digests) -> None:
    path = digests.folder / "file"
    for content in (b"third", b"fourth", b"fifth"):
        digests.expect({path: Digest.of(content)})
        assert digests.is_sound(path), "what is there is still the second"
    path.write_bytes(b"fifth")
    assert digests.is_sound(path)
    path.write_bytes(b"third")
    assert not digests.is_sound(path), "of all that never came, the last one alone can come"


def test_what_a_damaged_file_holds_is_not_noted_as_right(digests: Digests) -> None:
    path = digests.folder / "file"
    path.write_bytes(b"damage")
    digests.expect({path: Digest.of(b"third")})
    assert not digests.is_sound(path)


def test_a_file_without_a_digest_stays_sound_when_its_first_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_bytes(b"from before there were digests")
    Digests(tmp_path).expect({path: Digest.of(b"new")})
    assert Digests(tmp_path).is_sound(path)


def test_of_a_file_that_grows_the_beginning_is_vouched_for(tmp_path: Path) -> None:
    path, digests = tmp_path / "rows", Digests(tmp_path)
    path.write_bytes(b"one\n")
    digests.expect({path: Digest.of(b"one\n", grows=True)})
    path.write_bytes(b"one\ntwo\n")
    assert digests.is_sound(path)
    for damage in (b"One\ntwo\n", b"one"):
        path.write_bytes(damage)
        assert not digests.is_sound(path)


def test_rows_that_were_noted_are_vouched_for_and_not_the_first_of_them_alone(
    tmp_path: Path,
) -> None:
    path, digests = tmp_path / "rows", Digests(tmp_path)
    for content in (b"one\n", b"one\ntwo\n"):
        path.write_bytes(content)
        digests.expect({path: Digest.of(content, grows=True)})
    path.write_bytes(b"one\nTwo\n")
    assert not digests.is_sound(path)


def test_rows_that_are_to_be_taken_back_are_right_before_and_after(tmp_path: Path) -> None:
    path, digests = tmp_path / "rows", Digests(tmp_path)
    path.write_bytes(b"one\ntwo\n")
    digests.expect({path: Digest.of(b"one\ntwo\n", grows=True)})
    digests.expect({path: Digest.of(b"zero\n", grows=True)})
    assert digests.is_sound(path)
    path.write_bytes(b"zero\n")
    assert digests.is_sound(path)


def test_files_that_are_not_there_or_not_noted_are_nobodys_damage(digests: Digests) -> None:
    (digests.folder / "file").unlink()
    (digests.folder / "mine").write_bytes(b"")
    assert digests.damaged() == []
    digests.check(digests.folder / "mine", "")


def test_a_file_is_forgotten_and_noted_as_it_is(digests: Digests) -> None:
    path = digests.folder / "file"
    digests.forget([path])
    path.write_bytes(b"by somebody else")
    assert digests.is_sound(path)
    digests.note([path])
    path.write_bytes(b"by somebody elsE")
    assert not digests.is_sound(path)


def test_a_size_that_is_claimed_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_bytes(b"one\n")
    assert not Digest(10**15, Digest.of(b"one\n").sha256, grows=True).fits(path)
    with path.open("r+b") as file:
        file.truncate(10**12)
    assert not Digest.of(b"one\n").fits(path)
    assert Digest.of(b"one\n", grows=True).fits(path)


def test_where_nothing_is_vouched_for_nothing_is_noted_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    Digests(tmp_path).note([tmp_path / "file"])
    assert not (tmp_path / "digests.json").exists()


def test_the_spec_is_kept_until_another_is_said(digests: Digests) -> None:
    digests.expect({}, spec="abc")
    write(digests, "file", b"third")
    assert digests.spec == "abc"


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace('"file"', '"fire"'),
        lambda text: text.replace(Digest.of(b"second").sha256, Digest.of(b"damage").sha256),
        lambda text: text[:-20],
        lambda text: "",
        lambda text: "[]",
        lambda text: "[" * 100_000,
        lambda text: text + " " * 10_000_000,
    ],
    ids=["a name", "a digest", "truncated", "empty", "a list", "deep", "large"],
)
def test_damage_to_the_digests_themselves_is_not_laid_on_the_files(
    digests: Digests, damage: object
) -> None:
    assert callable(damage)
    digests.file.write_text(damage(digests.file.read_text()))
    with pytest.raises(CheckpointError, match=r"digests\.json is damaged .*take it away"):
        digests.check(digests.folder / "file", "")


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../outside"])
def test_digests_of_strangers_have_no_say_about_other_folders(digests: Digests, name: str) -> None:
    digests._write(digests._read())
    noted = digests._read()
    noted.files[name] = (Digest(0, ""),)
    digests._write(noted)
    with pytest.raises(CheckpointError, match="is no file of the folder"):
        digests.damaged()


def test_the_file_can_be_read_by_people_and_other_programs(digests: Digests) -> None:
    said = json.loads(digests.file.read_text())
    assert list(said) == ["format", "spec", "files", "sha256"]
    assert said["files"]["file"][-1] == {"bytes": 6, "sha256": Digest.of(b"second").sha256}
