"""What a network's backward pass raises, as one line: it runs where a gradient is asked for."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from robust.errors import InputError, type_and_line
from robust.models.acceleration.memory import memory_ran_out

_ENGINE = "_engine_run_backward"
"""The function of torch that every gradient goes through."""


@contextmanager
def backward_errors() -> Iterator[None]:
    """InputError for whatever the backward pass of a foreign network raises, SystemExit included.

    A network that ends the process with exit code 0 would otherwise look like a finished command.
    """
    try:
        yield
    except (KeyboardInterrupt, GeneratorExit, InputError):
        raise
    except BaseException as error:
        if memory_ran_out(error) or not (isinstance(error, SystemExit) or _in_backward(error)):
            raise
        raise InputError(
            f"the network's backward pass fails ({type_and_line(error)}); fix it, or wrap it in a "
            f"factory whose gradients work"
        ) from None


def _in_backward(error: BaseException) -> bool:
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code.co_name == _ENGINE for frame, _ in frames)
