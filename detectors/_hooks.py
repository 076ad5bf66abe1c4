"""Forward hooks and replaced passes that count for one thread alone, always removed again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Hook = Callable[..., Any]
"""As torch calls it: with the module and its arguments, after the pass with its output as well."""

_REGISTERING = threading.Lock()
"""torch numbers hooks without a lock: two threads could get one number, and lose a hook."""
_COMPUTING_ONCE = threading.Lock()
"""Two threads that replaced the pass of one module would put each other's back."""


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


@torch.no_grad()
def before_all(
    model: nn.Module, layers: Sequence[nn.Module], x: Tensor
) -> tuple[Tensor, list[nn.Module]]:
    """What a pass returns, and the modules that have ended in it before any of `layers` begins.

    The largest ones, without their parts, of those that run once and return a tensor.
    """
    named = {module: name for name, module in model.named_modules()}
    calls: dict[nn.Module, int] = dict.fromkeys(named, 0)
    ended: set[nn.Module] = set()
    begun = False

    def begin(module: nn.Module, args: object) -> None:
        nonlocal begun
        calls[module] += 1
        begun = begun or module in layers

    def end(module: nn.Module, args: object, out: object) -> None:
        if not begun and isinstance(out, Tensor):
            ended.add(module)

    watched = [module for module in named if not isinstance(module, torch.jit.ScriptModule)]
    with hooked([(one, begin) for one in watched], [(one, end) for one in watched]):
        out = model(x)
    found = {named[module]: module for module in ended if calls[module] == 1}

    def is_part(name: str) -> bool:
        return any(name[:end] in found for end, mark in enumerate(name) if mark == ".")

    return out, [module for name, module in found.items() if not is_part(name)]


@contextmanager
def computing_once(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Within the block, return in this thread what modules have computed at their first pass.

    The caller sees to it that their input stays the same.
    """
    thread = threading.get_ident()

    def once(forward: Callable[..., Any]) -> Callable[..., Any]:
        computed: list[Any] = []

        def replaced(*args: Any, **options: Any) -> Any:
            if threading.get_ident() != thread:
                return forward(*args, **options)
            if not computed:
                computed.append(forward(*args, **options))
            return computed[0]

        return replaced

    with _COMPUTING_ONCE, ExitStack() as replaced:
        for module in modules:
            if "forward" not in vars(module):
                module.forward = once(module.forward)  # type: ignore[method-assign]
                replaced.callback(delattr, module, "forward")
        yield
