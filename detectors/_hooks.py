"""Forward hooks that fire for the thread that registered them alone, always removed again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

Hook = Callable[..., Any]
"""As torch calls it: with the module and its arguments, after the pass with its output as well."""

_REGISTERING = threading.Lock()
"""torch numbers hooks without a lock: two threads could get one number, and lose a hook."""


@contextmanager
def hooked(
    before: Iterable[tuple[nn.Module, Hook]] = (), after: Iterable[tuple[nn.Module, Hook]] = ()
) -> Iterator[None]:
    """Within the block, call hooks before and after the passes of modules in this thread.

    A network may serve several threads: a hook that fired for another one's pass would mix images.
    """
    thread, within = threading.get_ident(), True

    def own(hook: Hook) -> Hook:
        def call(*args: Any) -> Any:
            return hook(*args) if within and threading.get_ident() == thread else None

        return call

    with ExitStack() as registered:
        with _REGISTERING:
            for module, hook in before:
                registered.callback(module.register_forward_pre_hook(own(hook)).remove)
            for module, hook in after:
                registered.callback(module.register_forward_hook(own(hook)).remove)
        try:
            yield
        finally:
            within = False  # a copy of the network that was made meanwhile keeps its hooks
