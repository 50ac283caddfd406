"""A run folder as a model hub keeps it, by huggingface_hub's own functions, without a network."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest
import torch

import genzoo_rwae as gz
from genzoo_rwae.cli import main

hub = pytest.importorskip("huggingface_hub", reason="what a hub keeps takes huggingface_hub")
REPO, COMMIT = "somebody/tiny", "0" * 40


@pytest.fixture
def cache(built: Path, tmp_path: Path) -> Path:
    """A cache that has the folder: blobs by their digests, and links to them in a snapshot."""
    home = tmp_path / hub.file_download.repo_folder_name(repo_id=REPO, repo_type="model")
    snapshot = home / "snapshots" / COMMIT
    (home / "blobs").mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(COMMIT)
    names = [str(path.relative_to(built)) for path in built.rglob("*") if path.is_file()]
    # what one pushes: all but what a training goes on from
    for name in hub.utils.filter_repo_objects(names, ignore_patterns=["checkpoints/*", ".*"]):
        blob = home / "blobs" / hashlib.sha256((built / name).read_bytes()).hexdigest()
        shutil.copy(built / name, blob)
        link = snapshot / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return tmp_path


def test_card_says_what_a_hub_reads(built):
    data = hub.ModelCard.load(built / "README.md").data
    assert data.library_name == "genzoo-rwae"
    assert {"disentanglement", "sequence-modeling", "genzoo-rwae"} <= set(data.tags)
    assert data.license == "unknown"


def test_a_snapshot_of_a_run_is_loaded_and_is_the_model(built, cache, recwarn):
    there = hub.snapshot_download(REPO, cache_dir=cache, local_files_only=True)
    one, other = gz.load(built).state_dict(), gz.load(there).state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not [str(each.message) for each in recwarn if "digests" in str(each.message)]


def test_files_of_a_run_are_found_one_by_one(cache):
    for name in ("model.safetensors", "spec.yaml", "digests.json", "README.md", "report.html"):
        found = hub.try_to_load_from_cache(REPO, name, cache_dir=cache)
        assert found == hub.hf_hub_download(REPO, name, cache_dir=cache, local_files_only=True)
    assert hub.try_to_load_from_cache(REPO, "checkpoints/last.pt", cache_dir=cache) is None


def test_what_was_damaged_on_the_way_is_not_loaded(cache):
    there = hub.snapshot_download(REPO, cache_dir=cache, local_files_only=True)
    weights = Path(there) / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.resolve().write_bytes(damaged)
    with pytest.raises(gz.CheckpointError, match=r"model\.safetensors"):
        gz.load(there)


def test_verbs_read_a_snapshot_and_write_elsewhere(cache, tmp_path, capsys):
    there = hub.snapshot_download(REPO, cache_dir=cache, local_files_only=True)
    with pytest.raises(SystemExit) as left:
        main(["sample", there, "-n", "1", "-o", str(tmp_path / "out")])
    assert not left.value.code
    assert (tmp_path / "out" / "sample.png").is_file()
