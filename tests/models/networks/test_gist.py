"""Hand-made features: filters against scipy's convolution, gradients by finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from robust.errors import InputError
from robust.models.architectures import build_network, find_library
from robust.models.networks.gist import (
    CELLS,
    ORIENTATIONS,
    SCALE,
    GistNetwork,
    colour_moments,
    gabor_kernel,
)


def image(seed: int = 0, side: int = 16) -> torch.Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(seed))


def test_a_filter_is_the_formula_of_gabor_and_answers_to_its_own_wave() -> None:
    frequency, angle = 0.125, math.pi / 6
    even, odd = (part.double().numpy() for part in gabor_kernel(frequency, angle))
    reach = len(even) // 2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    # One octave between the half-height frequencies: sigma of the spectrum is f / 3 / sqrt(ln 4).
    sigma = 1 / (2 * math.pi * (frequency / 3 / math.sqrt(2 * math.log(2))))
    envelope = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    envelope /= envelope.sum()
    phase = 2 * math.pi * frequency * (x * math.cos(angle) + y * math.sin(angle))
    assert np.allclose(odd, envelope * np.sin(phase), atol=1e-7)
    plain = envelope * np.cos(phase)
    assert np.allclose(even, plain - envelope * plain.sum(), atol=1e-7)
    assert abs(even.sum()) < 1e-6 and abs(odd.sum()) < 1e-6
    assert np.hypot((even * np.cos(phase)).sum(), (odd * np.cos(phase)).sum()) > 0.45
    across = 2 * math.pi * frequency * (-x * math.sin(angle) + y * math.cos(angle))
    assert np.hypot((even * np.cos(across)).sum(), (odd * np.cos(across)).sum()) < 0.02


def test_energies_are_those_of_scipy() -> None:
    network, x = GistNetwork(2), image()
    grey = np.tensordot([0.299, 0.587, 0.114], x[0].double().numpy(), 1)
    found = network.features(x)[0].detach().numpy()
    place = 0
    for frequency in (0.25, 0.125, 0.0625):
        for k in range(ORIENTATIONS):
            parts = gabor_kernel(frequency, math.pi * k / ORIENTATIONS).double().numpy()
            answers = [ndimage.correlate(grey, part, mode="nearest") for part in parts]
            amplitude = np.sqrt(answers[0] ** 2 + answers[1] ** 2 + 1e-8)
            cells = amplitude.reshape(CELLS, 4, CELLS, 4).mean((1, 3)).ravel()
            own = found[place : place + CELLS**2]
            assert np.allclose(own, SCALE * cells, rtol=1e-3, atol=1e-4)
            place += CELLS**2
    values = x[0].flatten(1).double().numpy()
    moments = np.concatenate(
        [values.mean(1), values.std(1), np.cbrt(stats.moment(values, 3, axis=1))]
    )
    assert np.allclose(found[place:], moments, atol=5e-3)


def test_the_gradient_is_that_of_finite_differences() -> None:
    network = GistNetwork(2).double()
    x = image(side=8).double().requires_grad_()
    assert torch.autograd.gradcheck(network.features, x, fast_mode=True)
    black = torch.zeros(1, 3, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(colour_moments(black).sum(), black)
    assert bool(gradient.isfinite().all())


def test_it_has_a_name_and_no_pretrained_weights() -> None:
    assert find_library("robust:gist") == ("robust", "gist")
    network = build_network("robust", "gist", 3, False)
    assert sorted(network.state_dict()) == ["head.bias", "head.weight"]
    with pytest.raises(InputError, match="no pretrained weights"):
        build_network("robust", "gist", 3, True)
    with pytest.raises(InputError, match="unknown architecture 'gits'"):
        find_library("robust:gits")
