"""Measuring what a model learnt: figures beside what knowing nothing would give."""

from genzoo_rwae.evaluation.codes import EncodedSplit, encode_split
from genzoo_rwae.evaluation.figure import Figure, as_json
from genzoo_rwae.evaluation.judge import Judge, Verdict
from genzoo_rwae.evaluation.measure import Splits, measure

__all__ = [
    "EncodedSplit",
    "Figure",
    "Judge",
    "Splits",
    "Verdict",
    "as_json",
    "encode_split",
    "measure",
]
