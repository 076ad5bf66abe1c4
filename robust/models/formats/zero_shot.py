"""open_clip: zero-shot classifiers of an image tower and one text, or several, for each class.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robust.errors import InputError, did_you_mean, excerpt, type_and_line
from robust.models.architectures import Preprocessing, quick_when_offline
from robust.models.checkpoints.archives import check_archive
from robust.models.formats.contract import (
    LoadedNetwork,
    LoaderOptions,
    MissingField,
    ModelOrigin,
    NativeRuntime,
)
from robust.models.formats.libraries import import_library, in_silence
from robust.models.weights import read_state_dict
from robust.plan.paths import require_weights

EXTRA = "open-clip"
HUB = "hf-hub:"
FITS = {"shortest": "crop", "squash": "squash", "longest": "pad"}
"""By what open_clip calls `resize_mode`."""


class ZeroShotNetwork(nn.Module):
    """Images to scaled cosines with the texts of the classes, `(n, classes)`.

    The texts are held as features, not as a network: they belong to its weights.
    """

    texts: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, tower: nn.Module, texts: Tensor, scale: Tensor, bias: Tensor) -> None:
        """Take features of the texts `(classes, d)` of length 1, and two numbers."""
        super().__init__()
        self.tower = tower
        self.register_buffer("texts", texts)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(n, classes)`."""
        features = self.tower(x)
        if isinstance(features, tuple):  # of towers with a caption beside
            features = features[0]
        return self.scale * nn.functional.normalize(features, dim=-1) @ self.texts.T + self.bias


def load_zero_shot(name: str, options: LoaderOptions) -> LoadedNetwork:
    """A model of open_clip by name, `name/tag` or `hf-hub:owner/name`; InputError.

    A bare name needs a weights file; a tag of pretrained weights, or the hub, `pretrained`.
    """
    library = import_library("open_clip", EXTRA)
    _require_prompts(options)
    model, _, tag = (name, "", "") if name.startswith(HUB) else name.partition("/")
    if not name.startswith(HUB):
        known = library.list_models()
        if model not in known:
            raise InputError(f"open_clip has no model {model!r}; {did_you_mean(model, known)}")
        tags = library.list_pretrained_tags_by_model(model)
        if tag and tag not in tags:
            hint = did_you_mean(tag, tags) if tags else "none has been published"
            raise InputError(f"open_clip has no weights {tag!r} of {model}; {hint}")
    published = bool(tag) or name.startswith(HUB)
    if options.weights is not None and not published and not options.pretrained:
        network = _with_weights(library, model, options.weights)
    elif published and options.pretrained and options.weights is None:
        network = _published(library, model, tag)
    else:
        raise InputError(
            f"open_clip:{name} needs either a weights file, or pretrained = true and a tag as in "
            f"open_clip:ViT-B-32/laion2b_s34b_b79k"
        )
    return _zero_shot(library, network, model, name, options)


def load_zero_shot_folder(folder: Path, options: LoaderOptions) -> LoadedNetwork:
    """The model in a folder with an open_clip_config.json; InputError."""
    library = import_library("open_clip", EXTRA)
    _require_prompts(options)
    name = f"local-dir:{folder}"
    for path in folder.glob("*.bin"):
        check_archive(path, "copy the folder again")
    try:
        with in_silence(), quick_when_offline():
            network = library.create_model(
                name, require_pretrained=True, pretrained_text=False, weights_only=True
            )
    except Exception as error:  # noqa: BLE001  (of any file)
        raise InputError(f"open_clip cannot load {folder}: {type_and_line(error)}") from None
    return _zero_shot(library, network, name, "of a folder", options)


def _require_prompts(options: LoaderOptions) -> None:
    if len(options.prompts) < 2:
        raise MissingField(
            "prompts",
            "a zero-shot model needs a text for each class: set prompts in [model], in the order "
            "of the classes",
        )
    if options.outputs not in (None, len(options.prompts)):
        raise InputError(
            f"there are {len(options.prompts)} prompts for {options.outputs} outputs; give one for "
            f"each class"
        )


def _with_weights(library: Any, model: str, path: Path) -> Any:
    require_weights(path)
    check_archive(path, "download it again")
    try:
        with in_silence(), quick_when_offline():
            network = library.create_model(model, load_weights=False, pretrained_text=False)
    except Exception as error:  # noqa: BLE001
        raise InputError(f"open_clip cannot build {model}: {type_and_line(error)}") from None
    try:
        with in_silence():
            library.load_checkpoint(network, str(path), strict=True, weights_only=True)
    except Exception as error:  # noqa: BLE001  (of any file)
        read_state_dict(path)  # says so where it is broken or a pickle of any kind
        raise InputError(
            f"{path} does not fit open_clip's {model}: {type_and_line(error)}"
        ) from None
    return network


def _published(library: Any, model: str, tag: str) -> Any:
    try:
        with in_silence(), quick_when_offline():
            return library.create_model(
                model,
                pretrained=tag or None,
                require_pretrained=True,
                pretrained_text=False,
                weights_only=True,
            )
    except Exception as error:  # noqa: BLE001
        if model.startswith(HUB):
            remedy = (
                f"hf download {model.removeprefix(HUB)} --local-dir MODEL, bring the folder here, "
                f"and set folder = 'MODEL' in place of architecture and pretrained"
            )
        else:
            remedy = (
                f'python -c "import open_clip, torch; torch.save(open_clip.create_model('
                f"'{model}', '{tag}').state_dict(), 'clip.pth')\", bring clip.pth here, and set "
                f"architecture = 'open_clip:{model}' and weights = 'clip.pth'"
            )
        raise InputError(
            f"the weights of open_clip:{model} {tag} could not be downloaded "
            f"({type(error).__name__}); on a machine with internet access run: {remedy}"
        ) from None


def _zero_shot(
    library: Any, model: Any, tokenizer_of: str, name: str, options: LoaderOptions
) -> LoadedNetwork:
    """The image tower of a model with the features of the prompts; InputError."""
    model.eval()
    tokens = _tokens(library, tokenizer_of, options)
    texts = _text_features(model, tokens)
    bias = getattr(model, "logit_bias", None)
    with torch.no_grad():
        scale = model.logit_scale.detach().exp().reshape(())
        shift = torch.zeros(()) if bias is None else bias.detach().clone().reshape(())
    network = ZeroShotNetwork(model.visual, texts, scale, shift)
    return LoadedNetwork(
        network,
        ModelOrigin(f"open_clip zero-shot, {name}", _native(model, tokens)),
        _asked(library, model),
        head="softmax",
        prompted=True,
    )


def _tokens(library: Any, tokenizer_of: str, options: LoaderOptions) -> list[Tensor]:
    """The prompts of each class as numbers `(texts, length)`; InputError where two read alike."""
    classes = [(text,) if isinstance(text, str) else tuple(text) for text in options.prompts]
    if not all(text.strip() for texts in classes for text in texts) or not all(classes):
        raise InputError("a prompt is empty; give a text for each class")
    try:
        with in_silence(), quick_when_offline():
            tokenizer = library.get_tokenizer(tokenizer_of)
            tokens = [tokenizer(list(texts)) for texts in classes]
    except Exception as error:  # noqa: BLE001  (a tokenizer may be one of the hub)
        raise InputError(
            f"the tokenizer of {tokenizer_of} could not be loaded ({type_and_line(error)}); bring "
            f"its files into the local cache of the Hugging Face hub"
        ) from None
    rows: dict[tuple[int, ...], str] = {}
    for texts, of_class in zip(classes, tokens, strict=True):
        for text, row in zip(texts, of_class.tolist(), strict=True):
            if (other := rows.setdefault(tuple(row), text)) != text:
                raise InputError(
                    f"the prompts {excerpt(other)!r} and {excerpt(text)!r} read alike once they "
                    f"are cut to {len(row)} tokens; make them differ earlier"
                )
    return tokens


def _text_features(model: Any, tokens: Sequence[Tensor]) -> Tensor:
    """Features `(classes, d)` of length 1: of several texts of a class their mean.

    They are found at float64 and then rounded, so that every machine finds the same.
    """
    with torch.no_grad():
        model.double()
        means = [model.encode_text(t, normalize=True).mean(0) for t in tokens]
        model.float()
        return nn.functional.normalize(torch.stack(means), dim=-1).float()


def _native(model: Any, tokens: Sequence[Tensor]) -> NativeRuntime:
    """The library's own way from both towers to logits, at float32."""

    @torch.no_grad()
    def logits(pixels: Tensor) -> Tensor:
        means = [model.encode_text(texts, normalize=True).mean(0) for texts in tokens]
        texts = nn.functional.normalize(torch.stack(means), dim=-1)
        cosines = model.encode_image(pixels, normalize=True) @ texts.T
        found: Tensor = model.logit_scale.exp() * cosines
        return found if getattr(model, "logit_bias", None) is None else found + model.logit_bias

    return logits


def _asked(library: Any, model: Any) -> Preprocessing:
    """What the library's own transform does; InputError for what has no counterpart."""
    asked = library.get_model_preprocess_cfg(model)
    side, mode = asked["size"], asked["resize_mode"]
    size = (side, side) if isinstance(side, int) else (int(side[0]), int(side[1]))
    if mode not in FITS or asked["fill_color"]:
        raise InputError(
            f"open_clip fits images to {size} by {mode!r} on {asked['fill_color']}, which robust "
            f"does not rebuild; export its image tower with torch.export"
        )
    mean, std = tuple(asked["mean"]), tuple(asked["std"])
    return Preprocessing(mean, std, size, asked["interpolation"], 3, fit=FITS[mode])
