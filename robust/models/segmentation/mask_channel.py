"""`MaskedNetwork`: a classifier whose first convolution also sees a segmenter's mask of the image.

Lesion or lung masks as a further input channel are one way to give a network domain knowledge (Xie
et al. 2021, Medical Image Analysis 69, 101985). The mask is computed from the image
that is classified: a change of the image changes the mask, and gradients pass through the
segmenter, so that every attack sees the whole of it and no case needs a file of its mask.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from robust.errors import InputError
from robust.models.classifier import Classifier
from robust.models.segmentation.segmenter import Segmenter
from robust.models.segmentation.trained import SegmenterFile


class MaskedConvolution(nn.Module):
    """A convolution `image` of all channels but the last, plus one `mask` of the last.

    Together they are the convolution with one more input channel. Apart, a mask kernel of zeros
    adds zero, so that the outputs are those of `image` to the bit.
    """

    def __init__(self, image: nn.Conv2d) -> None:
        """Take a convolution over; the kernel of the mask starts at zero."""
        super().__init__()
        self.image = image
        self.mask = copy.deepcopy(image)
        self.mask.in_channels = 1
        self.mask.weight = nn.Parameter(torch.zeros_like(image.weight[:, :1]))
        self.mask.bias = None

    def forward(self, x: Tensor) -> Tensor:
        """Of `x (n, c + 1, h, w)`."""
        found: Tensor = self.image(x[:, :-1]) + self.mask(x[:, -1:])
        return found


class MaskedNetwork(nn.Module):
    """A network `(n, c + 1, h, w)` that is shown an image `(n, c, h, w)` and its mask.

    The mask is the probability in [0, 1] that a pixel belongs to any structure. The segmenter stays
    as it was trained: its weights have no gradient and its batch statistics do not move.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        classifier: nn.Module,
        segmenter: Segmenter,
        described: SegmenterFile,
        shown: Classifier,
    ) -> None:
        """`described` rebuilds the segmenter; `shown` says how images were normalised."""
        super().__init__()
        self.classifier, self.segmenter, self.described = classifier, segmenter, described
        # Copies: one buffer at two places is listed once until a conversion makes it two.
        self.register_buffer("mean", shown.mean.clone(), persistent=False)
        self.register_buffer("std", shown.std.clone(), persistent=False)
        for parameter in segmenter.parameters():
            parameter.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """The classifier's outputs `(n, k)` on a normalised image."""
        # A training sets all modules to training mode, and this one is not trained.
        self.segmenter.eval()
        mask = foreground(self.segmenter, x * self.std + self.mean)
        found: Tensor = self.classifier(torch.cat([x, mask.to(x.dtype)], 1))
        return found


def foreground(segmenter: Segmenter, x: Tensor) -> Tensor:
    """Probabilities `(n, 1, h, w)` that a pixel of displayed `x (n, c, h, w)` is of any structure.

    Of structures that may overlap, as if they were independent.
    """
    logits: Tensor = segmenter(x)
    if segmenter.overlapping:
        return 1 - (-logits).sigmoid().prod(1, keepdim=True)
    return logits.softmax(1)[:, 1:].sum(1, keepdim=True)


def with_mask_channel(
    classifier: Classifier, segmenter: Segmenter, described: SegmenterFile
) -> Classifier:
    """The classifier, in place, with the mask as a further channel; InputError where it has none.

    Its outputs are those of before to the bit, until the kernel of the mask is learned.
    """
    if segmenter.spatial_dims == 3:
        raise InputError("the segmenter of mask_channel is for volumes; name one for images")
    network = classifier.network
    place, first = _first_convolution(network)
    path, _, attribute = place.rpartition(".")
    setattr(network.get_submodule(path), attribute, MaskedConvolution(first))
    classifier.network = MaskedNetwork(network, segmenter, described, classifier)
    return classifier


def _first_convolution(network: nn.Module) -> tuple[str, nn.Conv2d]:
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            if module.groups == 1 and name:
                return name, module
            break
    raise InputError(
        "the network does not begin with a convolution of all its channels, so that it takes no "
        "mask channel; choose another architecture, or remove mask_channel"
    )
