"""Tests, by the room of the package that they are about."""

import sys

# pytest rewrites the assertions of every package that brings a plugin, all of ours too: seconds in
# each process, and no assertion of the package is a test's.
for finder in sys.meta_path:
    getattr(finder, "_must_rewrite", set()).discard("robust")
