"""A figure holds numbers that JSON has, whatever they were measured with."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from genzoo_rwae import Figure
from genzoo_rwae.evaluation.figure import as_json


@pytest.mark.parametrize(
    "number", [torch.tensor(0.5), torch.tensor([0.5]), np.float32(0.5), np.float64(0.5)]
)
def test_numbers_of_torch_and_numpy_become_plain_ones(number: Any) -> None:
    figure = Figure(number, chance=number, spread=number, baselines={"simple": number})
    written = json.loads(json.dumps(as_json({"a": figure})))
    assert written == {
        "a": {"value": 0.5, "chance": 0.5, "spread": 0.5, "baselines": {"simple": 0.5}}
    }


def test_plain_numbers_stay_what_they_are() -> None:
    assert isinstance(Figure(3).value, int)
    assert type(Figure(np.int64(3)).value) is int
    assert type(Figure(np.float64(0.5)).value) is float
    assert Figure(None).value is None


@pytest.mark.parametrize("given", ["much", "0.5", torch.zeros(2), [0.5], 1j])
def test_what_is_no_number_is_named(given: Any) -> None:
    with pytest.raises(TypeError, match=r"value is .*; wanted a number or None"):
        Figure(given)
    with pytest.raises(TypeError, match=r"baselines\['simple'\] is "):
        Figure(0.5, baselines={"simple": given})
