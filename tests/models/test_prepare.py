"""A prepared classifier is a frozen copy whose head is recognised."""

from __future__ import annotations

import torch
from torch import nn

from robust.models import Classifier, prepare
from robust.models.prepare import image_template


def classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), channels=1)


def test_the_copy_is_frozen_and_the_model_stays_as_it_was() -> None:
    own = classifier().train()
    ready = prepare(own)
    assert own.training and not ready.training
    assert all(p.requires_grad for p in own.parameters())
    assert not any(p.requires_grad for p in ready.parameters())


def test_the_head_is_recognised_on_images_or_taken_as_given() -> None:
    own, images = classifier(), torch.rand(4, 1, 8, 8)
    assert own.head == prepare(own).head == "auto"
    assert prepare(own, images=images).head == "softmax"
    assert prepare(own, head="probabilities").head == "probabilities"
    settled = classifier()
    settled.head = "softmax"
    assert prepare(settled, images=images, head="probabilities").head == "softmax"
    assert own.head == "auto"


def test_images_are_of_the_type_of_the_weights() -> None:
    assert image_template(prepare(classifier())).dtype == torch.float32
    assert image_template(prepare(classifier().double())).dtype == torch.float64
