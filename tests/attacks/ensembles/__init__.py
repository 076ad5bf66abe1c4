"""Tests of the ensembles."""
