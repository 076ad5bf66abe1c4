"""The pytest plugin: audits and benchmarks as fixtures."""
