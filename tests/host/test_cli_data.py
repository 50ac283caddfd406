"""`genzoo data shard` writes what a spec's data are, and over nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def test_the_shards_of_a_spec_make_the_data_of_another(
    tiny: str, write: Callable[[str, str], Path], genzoo: Callable[..., Any], tmp_path: Path
) -> None:
    np.save(tmp_path / "clips.npy", np.zeros((60, 3, 8, 8), np.uint8))
    clips = tiny.replace("{use: digits,", f"{{use: clips, path: {tmp_path}/clips.npy,")
    folder = tmp_path / "shards"
    said = json.loads(
        genzoo("data", "shard", write("clips.yaml", clips), "-o", folder, "--json").out
    )
    assert [said[split]["sequences"] for split in ("train", "validation", "test")] == [48, 6, 6]
    assert said["train"]["bytes"] == (folder / "train-000000.safetensors").stat().st_size
    spec = tiny.replace("{use: digits,", f"{{use: shards, path: {folder},")
    assert genzoo("check", write("spec.yaml", spec)).code == 0

    before = {path: path.read_bytes() for path in folder.iterdir()}
    again = genzoo("data", "shard", write("spec.yaml", spec), "-o", folder)
    assert again.code == 2
    assert "found something there already; give another place, or clear it" in again.err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
