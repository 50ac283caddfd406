"""Classifiers by whose word samples are measured."""
