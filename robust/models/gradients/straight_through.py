"""Straight-through gradients (BPDA): Athalye et al. 2018 (arXiv 1802.00420).

What rounds inside a network has no gradient of use. Here its backward pass is that of the identity,
while its forward pass stays what it is, to the bit. Only passes with gradients are touched, so that
predictions are those of the network as it is.

A plan names functions or modules. The functions are found wherever the network calls them:

- `round`: round, floor, ceil, trunc, fix, also in place; division that rounds (`//`), whose
  backward pass becomes that of plain division;
- `quantize`: fake quantisation, whose own backward pass is zero outside its range;
- `sign`: sign, sgn and heaviside. A comparison gives no number: name the module around it.

The modules are those at a path of the network, and with `jpeg` those whose class is called so. One
is given its input without a gradient, so it may leave torch; its output has the input's shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from robust.errors import InputError, did_you_mean

FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "round": ("round", "floor", "ceil", "trunc", "fix", "floor_divide", "__floordiv__"),
    "quantize": (
        "fake_quantize_per_tensor_affine",
        "fake_quantize_per_channel_affine",
        "_fake_quantize_learnable_per_tensor_affine",
        "_fake_quantize_learnable_per_channel_affine",
        "fused_moving_avg_obs_fake_quant",
    ),
    "sign": ("sign", "sgn", "heaviside"),
}
"""Functions of torch by the name that a plan gives them."""
JPEG = "jpeg"
"""Stands for all modules whose class name holds it."""
_DIVIDES = ("floor_divide", "__floordiv__", "div", "divide")
_NAME_OF = {function: name for name, functions in FUNCTIONS.items() for function in functions}


class ReplacedModuleError(InputError):
    """A module that straight-through gradients cannot pass."""


class _PassGradient(torch.autograd.Function):
    """The second tensor, with the gradient of the first."""

    @staticmethod
    def forward(ctx: Any, source: Tensor, value: Tensor) -> Tensor:
        ctx.kind = source.dtype
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].to(ctx.kind), None


class _Functions(TorchFunctionMode):
    """Lets gradients pass the functions of these names; `met` holds the names it has come by."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = names
        self.met: set[str] = set()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        options = kwargs or {}
        # An operator of an exported program is called `round.default`.
        called = getattr(func, "__name__", "").split(".")[0]
        in_place = called.endswith("_") and not called.endswith("__")
        base = called.removesuffix("_") if in_place else called
        divides = base in _DIVIDES and (
            base not in ("div", "divide") or options.get("rounding_mode") is not None
        )
        name = "round" if divides else _NAME_OF.get(base)
        x = args[0] if args else options.get("input")
        if name not in self.names or not isinstance(x, Tensor) or "out" in options:
            return func(*args, **options)
        self.met.add(str(name))
        if not (x.requires_grad and torch.is_grad_enabled()):
            return func(*args, **options)
        rest = args[1:]
        if not args:
            options = {key: value for key, value in options.items() if key != "input"}
        source = x.clone() if in_place else x
        with torch.no_grad():
            value = func(x.detach().clone() if in_place else x.detach(), *rest, **options)
        if divides:
            source = torch.div(source, rest[0] if rest else options["other"])
        out = _PassGradient.apply(source, value)  # type: ignore[no-untyped-call]
        return x.copy_(out) if in_place else out


class _Module:
    """Hooks that let gradients pass one module while they are in place."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.inputs: list[Tensor] = []
        self.met = False

    def before(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        x = args[0] if args else None
        if not isinstance(x, Tensor) or not x.is_floating_point():
            kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise ReplacedModuleError(
                f"straight_through = {self.path!r}: the module is given {kind}, which has no "
                f"gradient; name the module around it"
            )
        self.met = True
        self.inputs.append(x)
        return (x.detach(), *args[1:])

    def after(self, module: nn.Module, args: Any, out: Any) -> Tensor:
        x = self.inputs.pop()
        if not isinstance(out, Tensor) or not out.is_floating_point() or out.shape != x.shape:
            found = (
                f"{out.dtype} {tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
            )
            raise ReplacedModuleError(
                f"straight_through = {self.path!r}: the module makes {found} of {x.dtype} "
                f"{tuple(x.shape)}, and the identity keeps type and shape; name a module that does"
            )
        passed: Tensor = _PassGradient.apply(x, out.detach())  # type: ignore[no-untyped-call]
        return passed


@contextmanager
def passing_gradients(network: nn.Module, names: Sequence[str]) -> Iterator[Callable[[], set[str]]]:
    """Let gradients pass what `names` says while the network runs; gives what has been met."""
    functions = _Functions([name for name in names if name in FUNCTIONS])
    with ExitStack() as stack:
        hooks: dict[str, list[_Module]] = {}
        for name in names:
            if name in FUNCTIONS:
                continue
            for path in _paths(network, name):
                hook, module = _Module(path), network.get_submodule(path)
                hooks.setdefault(name, []).append(hook)
                stack.callback(module.register_forward_pre_hook(hook.before).remove)
                # Hooks of the network's own, such as a detector's, see what it returns with this.
                stack.callback(module.register_forward_hook(hook.after, prepend=True).remove)
        if functions.names:
            stack.enter_context(functions)
        yield lambda: functions.met | {n for n, many in hooks.items() if any(h.met for h in many)}


def checked_names(
    network: nn.Module, names: Sequence[str], *, differentiable: bool = True
) -> tuple[str, ...]:
    """The names; InputError for one that the network does not have, or cannot be told of."""
    names = (names,) if isinstance(names, str) else tuple(names)
    if not names:
        return ()
    if not differentiable:
        raise InputError("straight_through needs gradients, and this model gives none; remove it")
    if any(isinstance(module, torch.jit.ScriptModule) for module in network.modules()):
        raise InputError(
            "straight_through cannot look into TorchScript; give the network itself (architecture "
            "or factory), or an exported program (.pt2)"
        )
    known = [path for path, _ in network.named_modules() if path]
    for name in names:
        if name == JPEG and not _paths(network, JPEG):
            raise InputError(
                "straight_through = 'jpeg': no module of the network is of a class with JPEG in "
                "its name; name the module that compresses by its path"
            )
        if name not in FUNCTIONS and name != JPEG and name not in known:
            hint = did_you_mean(name, [*FUNCTIONS, JPEG, *known])
            raise InputError(f"straight_through: the network has no module {name!r}; {hint}")
    return tuple(dict.fromkeys(names))


def require_met(network: nn.Module, names: Sequence[str], given: Tensor) -> None:
    """InputError for a name that does nothing, where the network runs on `given` with gradients."""
    if not names:
        return
    with torch.enable_grad(), passing_gradients(network, names) as met:
        network(given.detach().requires_grad_())
    for name in names:
        if name not in met():
            raise InputError(
                f"straight_through = {name!r} changes nothing: a pass of the network does not come "
                f"by it; name the module that rounds by its path, or take it out"
            )


def _paths(network: nn.Module, name: str) -> list[str]:
    """The modules that a name stands for; with `jpeg` the outermost."""
    if name != JPEG:
        return [name]
    found: list[str] = []
    for path, module in network.named_modules():
        inside = any(path.startswith(f"{outer}.") for outer in found)
        if path and JPEG in type(module).__name__.lower() and not inside:
            found.append(path)
    return found
