"""What the parts of a measured run tell beyond its files: for this its plugins are executed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from genzoo_rwae.errors import GenzooError
from genzoo_rwae.evaluation.measured_run import MeasuredRun
from genzoo_rwae.releases import find_run
from genzoo_rwae.run import load
from genzoo_rwae.spec import load_spec
from genzoo_rwae.spec.defaults import default_values
from genzoo_rwae.zoo import Zoo

__all__ = ["with_parts"]


def with_parts(run: MeasuredRun, plugins: Sequence[str] = ()) -> MeasuredRun:
    """A run with the parameters of its model and the defaults of its settings.

    Either is left out where it cannot be had here, such as without a plugin of the run's.

    Args:
        run: as `read_run` gives it.
        plugins: references as after `-p`; each run gets a zoo of its own, since two may name
            different plugins of one name.
    """
    try:
        zoo = Zoo(plugins)
        run = replace(run, defaults=default_values(load_spec(find_run(run.path), zoo=zoo), zoo))
        model = load(run.path, zoo=zoo)
    except GenzooError:
        return run
    return replace(run, parameters=sum(parameter.numel() for parameter in model.parameters()))
