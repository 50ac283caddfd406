"""The judge of a spec's data, kept so that it is trained once for all runs on them.

Each lies in a folder of its own beside the digests of what was written there: figures go by its
word, so one that has changed since is not believed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genzoo_rwae.digests import Digest, Digests
from genzoo_rwae.errors import CheckpointError, DataError, RunError
from genzoo_rwae.evaluation.codes import spread_indices
from genzoo_rwae.evaluation.judge import Judge
from genzoo_rwae.evaluation.judge_training import train_judge, untrained
from genzoo_rwae.files import cache_folder, write_atomic
from genzoo_rwae.spec.render import plain
from genzoo_rwae.spec.sections import Train
from genzoo_rwae.training.checkpoint import load_weights, packed_weights
from genzoo_rwae.training.precision import choose_execution

if TYPE_CHECKING:
    from rich.console import Console

    from genzoo_rwae.evaluation.measure import Splits
    from genzoo_rwae.sequences import SequenceData
    from genzoo_rwae.spec import Spec

__all__ = ["judge_for", "judge_path"]

_FORMAT = 1  # raised when the same spec and data would give another judge
_FINGERPRINT = 8  # sequences of a split that stand for it


def judge_for(spec: Spec, splits: Splits, console: Console) -> Judge:
    """The judge of a spec and its data: as it was kept, or trained now and kept.

    Args:
        spec: whose `judge:` and `data:` say which.
        splits: the data; it is trained on `train`.
        console: where it is said when one is trained.

    Raises:
        DataError: the data have no labelled factors.
        RunError: training could not go on.
    """
    info = splits.train.info
    if not info.factors:
        raise DataError(f"the data '{spec.data.name}' have no labelled factors to judge by")
    path = judge_path(spec, splits)
    if path.is_file():
        net = untrained(spec.judge, info)
        try:
            _check(path)
            load_weights(path, net)
        except CheckpointError:
            said = f"the judge kept in {path} is damaged or of other parts; it is trained again"
            console.print(said, highlight=False, markup=False, soft_wrap=True)
        else:
            device = choose_execution(Train(precision="float32"), info.frame_shape).device
            return Judge(net.to(device), info)
    console.print(
        f"training the judge '{spec.judge.name}' of these data, for up to "
        f"{spec.judge.slot.steps:,} steps: once, it is kept for all runs on them",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    judge = train_judge(spec.judge, splits.train, splits.validation, console)
    try:
        _keep(path, packed_weights(judge.net.state_dict()))
    except (CheckpointError, RunError) as error:
        console.print(
            f"the judge is not kept: {error}", highlight=False, markup=False, soft_wrap=True
        )
    return judge


def judge_path(spec: Spec, splits: Splits) -> Path:
    """Where the judge of a spec and its data is kept, whether or not it is there yet.

    The name is a digest of what decides its weights: the judge and its options, the data and some
    of their sequences.
    """
    data = plain(spec.data)
    del data["batch"]
    plugins = {part.registered.plugin.sha256 for part in spec.parts() if _decides(part.path)}
    said: dict[str, Any] = {
        "format": _FORMAT,
        "judge": plain(spec.judge),
        "data": data,
        "plugins": sorted(plugins),
        "info": splits.train.info.as_json(),
        # the test split decides nothing: figures of the validation split are by the same judge
        "sequences": [_fingerprint(split) for split in (splits.train, splits.validation)],
    }
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    return cache_folder() / "judges" / digest / "judge.safetensors"


def _check(path: Path) -> None:
    """Refuse a judge that is not what was kept.

    Raises:
        CheckpointError: it is not, or nobody noted what was.
    """
    digests = Digests(path.parent)
    if path not in digests.noted():
        raise CheckpointError(f"{digests.file} does not vouch for {path}")
    digests.check(path, "It is trained again")


def _keep(path: Path, weights: bytes) -> None:
    """Write a judge and its digest, in place of whatever was there.

    Raises:
        CheckpointError, RunError: they cannot be written.
    """
    shutil.rmtree(path.parent, ignore_errors=True)  # digests that are damaged take no more
    Digests(path.parent).expect({path: Digest.of(weights)})
    write_atomic(path, weights)


def _decides(path: str) -> bool:
    return path.partition(".")[0] in ("judge", "data")


def _fingerprint(data: SequenceData) -> str:
    digest = hashlib.sha256(str(len(data)).encode())
    if len(data):
        batch = data.take(spread_indices(len(data), _FINGERPRINT))
        labels = [batch.factors[name] for name in sorted(batch.factors)]
        for tensor in (batch.x_BT, batch.lengths_B, *labels):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
