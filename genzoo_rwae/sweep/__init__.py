"""Sweeps: many runs of one spec with other values, chosen by what the ones before came to.

A sweep is a YAML file in the language of specs; its folder holds one run folder a trial, all trials
in one database, and a table. Any number of processes of one machine may work on it at once.
"""

from genzoo_rwae.sweep.outcome import Outcome, Row
from genzoo_rwae.sweep.plan import Plan, read_plan
from genzoo_rwae.sweep.worker import work

__all__ = ["Outcome", "Plan", "Row", "read_plan", "work"]
