"""Random streams: one per case, whatever the batch, the same for ever."""

from __future__ import annotations

import itertools

import pytest
import torch

from attacks import Streams


def test_a_case_has_its_stream_whatever_the_batch() -> None:
    ids = ["a", "b", "c", "d"]
    like = torch.zeros(4, 1, 3, 3)
    whole = Streams.of(7, ids, "PGD", 0.1)
    first, second = whole.uniform(like), whole.normal(like)
    for order in itertools.islice(itertools.permutations(range(4)), 1, 24, 7):
        again = Streams.of(7, [ids[i] for i in order], "PGD", 0.1)
        assert torch.equal(again.uniform(like), first[list(order)])
        assert torch.equal(again.normal(like), second[list(order)])
    for i, name in enumerate(ids):
        assert torch.equal(Streams.of(7, [name], "PGD", 0.1).uniform(like[:1]), first[i : i + 1])
    assert torch.equal(Streams.of(7, ids, "PGD", 0.1).uniform(like.double()), first.double())


def test_streams_differ_by_seed_case_and_label() -> None:
    like = torch.zeros(1, 1, 4, 4)
    draws = [
        Streams.of(0, [1], "PGD").uniform(like),
        Streams.of(1, [1], "PGD").uniform(like),
        Streams.of(0, [2], "PGD").uniform(like),
        Streams.of(0, ["1"], "PGD").uniform(like),
        Streams.of(0, [1], "BIM").uniform(like),
        Streams.of(0, [1], "PGD", 0.1).uniform(like),
    ]
    for a, b in itertools.combinations(draws, 2):
        assert not torch.equal(a, b)


def test_a_slice_goes_on_where_the_whole_stopped() -> None:
    like = torch.zeros(5, 1, 2, 2)
    reference = Streams.of(0, range(5))
    first, second = reference.uniform(like), reference.uniform(like)
    for rows in (
        torch.tensor([False, True, False, True, True]),
        torch.tensor([1, 3, 4]),
        [1, 3, 4],
    ):
        whole = Streams.of(0, range(5))
        assert torch.equal(whole.uniform(like), first)
        part = whole[rows]
        assert len(part) == 3
        assert torch.equal(part.uniform(like[:3]), second[[1, 3, 4]])
    with pytest.raises(ValueError, match="3 streams"):
        part.uniform(like)


def test_streams_leave_the_global_state_alone() -> None:
    before = torch.get_rng_state()
    whole = Streams.of(0, range(3))
    whole.uniform(torch.zeros(3, 1, 2, 2)), whole.normal(torch.zeros(3, 1, 2, 2)), whole.seed()
    assert torch.equal(torch.get_rng_state(), before)


def test_streams_do_not_change_between_versions() -> None:
    """A run that was stored must be replayed as it was: these numbers may never change."""
    drawn = Streams.of(0, ["case-1"], "PGD", "Linf", 4 / 255).uniform(torch.zeros(1, 1, 1, 3))
    assert drawn.flatten().tolist() == pytest.approx([0.6264309, 0.2416103, 0.6150538], abs=1e-6)
