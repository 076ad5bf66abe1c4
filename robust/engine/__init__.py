"""Attacks times cases to a run store: inputs, session, cells, runner, verified attacks, results."""
