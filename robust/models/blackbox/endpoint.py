"""Inference endpoints as black boxes: a model behind the Open Inference Protocol v2 over HTTP."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from robust.errors import BlackBoxFailure, InputError, excerpt
from robust.models.architectures import Preprocessing
from robust.models.blackbox.answers import Answers
from robust.models.blackbox.network import Questions, load_black_box
from robust.models.blackbox.protocol import (
    FLOATS,
    IMAGES,
    TEXTS,
    AnyArray,
    ProtocolError,
    ServedModel,
    decode,
    encode,
    read_metadata,
)
from robust.models.blackbox.transport import Connection, Reply
from robust.models.formats.contract import LoadedNetwork
from robust.plan.endpoints import EndpointAddress, parse_endpoint, token_header

Layout = Literal["NCHW", "NHWC"]
BINARY = "binary_tensor_data"
"""Extension of the protocol with which tensors travel as bytes in place of JSON."""
TIMEOUT, PATIENCE = 60.0, 60.0
"""Seconds that a request may take, and for which one that fails is sent again, unless set."""
MOST_AT_ONCE = 32
"""Images of one request, unless it is set or the model takes fewer."""
_CLASSIFICATION = re.compile(r"(?P<score>[-+.\deE]+):(?P<label>\d+)(:.*)?")
"""An entry of Triton's classification extension: score, number and perhaps name of a class."""


@dataclass(frozen=True)
class EndpointOptions:
    """The fields of `[model]` beside the address."""

    token_env: str | None = None
    output: str | None = None
    layout: Layout | None = None
    timeout: float | None = None
    patience: float | None = None
    answers: Answers | None = None
    at_once: int | None = None
    queries: int | None = None
    outputs: int | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageForm:
    """How images are sent: their type, the order of axes, and how many at once."""

    datatype: str
    layout: Layout
    batch: int | None
    """How many images every request has; None: any number."""
    batched: bool
    """Whether there is an axis for them."""
    channels: int | None
    size: tuple[int, int] | None

    def of(self, x: AnyArray) -> AnyArray:
        """The images `(n, c, h, w)` as the endpoint takes them, without those that fill a batch."""
        if self.datatype == "UINT8":
            x = np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8)
        elif self.datatype == "FP16":
            x = x.astype(np.float16)
        if self.layout == "NHWC":
            x = x.transpose(0, 2, 3, 1)
        if self.batch is not None and len(x) < self.batch:
            x = np.concatenate([x, np.repeat(x[-1:], self.batch - len(x), 0)])
        return x if self.batched else x[0]


class Endpoint:
    """Asks a model behind an endpoint for its answers to images `(n, c, h, w)`.

    Raises BlackBoxFailure where there is no answer, or none that the protocol knows.
    """

    def __init__(
        self,
        address: EndpointAddress,
        connection: Connection,
        model: ServedModel,
        form: ImageForm,
        binary: bool,
        classes: int | None,
    ) -> None:
        self._address, self._connection = address, connection
        self._model, self._form, self._binary = model, form, binary
        self._classes = classes
        self._version: object = None

    def __call__(self, x: AnyArray) -> AnyArray:
        """Scores `(n, k)` or labels `(n,)`."""
        body, headers = encode(self._form.of(x), self._model, self._binary)
        reply = self._connection.post(self._address.infer, body, headers)
        if reply.status != 200:
            raise BlackBoxFailure(
                f"the endpoint {self._address.shown} refuses {len(x)} images of shape "
                f"{x.shape[1:]} with status {reply.status}: {self._reason(reply)}; "
                f"{_remedy(reply.status)}"
            )
        try:
            found = decode(reply.body, reply.headers, self._model)
        except ProtocolError as error:
            raise BlackBoxFailure(
                f"the endpoint {self._address.shown} answers what cannot be used: "
                f"{self._connection.without_secrets(error)}; fix it there, then give the same "
                f"command again"
            ) from None
        self._require_same_version(reply)
        return self._rows(found, len(x))

    def _rows(self, found: AnyArray, images: int) -> AnyArray:
        """One row for each image: without the axis that is missing, without those that filled."""
        if not self._form.batched and (found.ndim == 0 or (found.ndim == 1 and len(found) != 1)):
            found = found[None]
        if self._form.batch is not None and len(found) == self._form.batch:
            found = found[:images]
        if found.dtype.kind in "USO" and found.ndim == 2 and self._classes is not None:
            return _ranked(found, self._classes)
        return found

    def _require_same_version(self, reply: Reply) -> None:
        """BlackBoxFailure where another version of the model answers than before."""
        raw = reply.headers.get("inference-header-content-length")
        end = len(reply.body) if raw is None else int(raw)
        answer = Reply(reply.status, reply.headers, reply.body[:end]).json()
        version = answer.get("model_version") if isinstance(answer, dict) else None
        if self._version is None:
            self._version = version
        elif version is not None and version != self._version:
            raise BlackBoxFailure(
                f"version {excerpt(version)} of the model answers in place of "
                f"{excerpt(self._version)}: two models would be audited as one; name the version "
                f"in the endpoint (/v2/models/NAME/versions/VERSION/infer)"
            )

    def _reason(self, reply: Reply) -> str:
        """What the server says of an error."""
        said = reply.json()
        text = said.get("error") or said.get("detail") if isinstance(said, dict) else None
        return self._connection.without_secrets(
            text or reply.body[:300].decode("utf-8", "replace") or "it does not say why"
        )


def load_endpoint(url: str, options: EndpointOptions) -> LoadedNetwork:
    """Ask a server what the model is, and make a network of it; InputError."""
    address = parse_endpoint(url)
    connection = Connection(
        address,
        _headers(address, options.token_env),
        timeout=TIMEOUT if options.timeout is None else options.timeout,
        patience=PATIENCE if options.patience is None else options.patience,
    )
    model = read_metadata(_metadata(connection, address), options.output)
    _require_ready(connection, address)
    form = image_form(model, options.layout)
    questions = _questions(model, form, options)
    binary = _is_binary(connection, address)
    ask = Endpoint(address, connection, model, form, binary, questions.outputs)
    loaded = load_black_box(
        ask,
        questions,
        format=_format(model, form, binary),
        identity=model.text,
        notes=_notes(address, form),
        grey_levels=256 if form.datatype == "UINT8" else None,
        budget=options.queries,
    )
    known = Preprocessing(size=form.size, channels=form.channels)
    return LoadedNetwork(loaded.network, loaded.origin, known, loaded.head, loaded.output_names)


def _headers(address: EndpointAddress, variable: str | None) -> dict[str, str]:
    """The header with the token; InputError where the address brings another login."""
    found = token_header(variable)
    if "Authorization" in found and address.login:
        raise InputError(
            "the endpoint has a user in its address and a token in endpoint_token_env, of which "
            "only one can be sent; remove one"
        )
    return found


def require_fitting_input(
    loaded: LoadedNetwork,
    mean: object,
    std: object,
    channels: int | None,
    size: tuple[int, int] | None,
) -> None:
    """InputError where the plan wants other images than an endpoint takes."""
    if loaded.origin.grey_levels is not None and (mean is not None or std is not None):
        raise InputError(
            "the endpoint takes bytes, which are not normalised; remove mean and std from [model]"
        )
    for name, wanted, fixed in (
        ("channels", channels, loaded.known.channels),
        ("size", size, loaded.known.size),
    ):
        if wanted is not None and fixed is not None and wanted != fixed:
            raise InputError(
                f"the endpoint takes images of {name} {fixed}, not {wanted}; remove {name} from "
                f"[model]"
            )


def image_form(model: ServedModel, layout: Layout | None) -> ImageForm:
    """How the input of a model takes images; InputError where it takes none."""
    shape, kind = model.input.shape, model.input.datatype
    if kind not in IMAGES:
        raise InputError(
            f"the input {excerpt(model.input.name)!r} of the endpoint takes {excerpt(kind)}; "
            f"images can be sent as {', '.join(IMAGES)}"
        )
    if len(shape) not in (3, 4):
        raise InputError(
            f"the input {excerpt(model.input.name)!r} of the endpoint has the shape {list(shape)}; "
            f"images need (n, c, h, w) or (n, h, w, c)"
        )
    batched = len(shape) == 4
    axes = shape[-3:]
    last, first = (axes[i] in (1, 3) for i in (2, 0))
    if layout is None and first == last:
        raise InputError(
            f"the shape {list(shape)} does not show where the channels are; set endpoint_layout "
            f"to NCHW or NHWC"
        )
    layout = layout or ("NCHW" if first else "NHWC")
    channels, height, width = axes if layout == "NCHW" else (axes[2], axes[0], axes[1])
    if channels not in (-1, 1, 3):
        raise InputError(
            f"the input of the endpoint has {channels} channels as {layout}; images have 1 or 3: "
            f"check endpoint_layout"
        )
    batch = None if batched and shape[0] < 1 else shape[0] if batched else 1
    return ImageForm(
        datatype=kind,
        layout=layout,
        batch=batch,
        batched=batched,
        channels=None if channels < 1 else channels,
        size=None if height < 1 or width < 1 else (height, width),
    )


def _questions(model: ServedModel, form: ImageForm, options: EndpointOptions) -> Questions:
    """What the output of a model answers: its type tells scores from labels."""
    output = model.output
    k = output.shape[-1] if len(output.shape) > 1 else None
    texts = output.datatype == TEXTS
    labels = not texts and output.datatype not in FLOATS
    answers: Answers = options.answers or ("labels" if labels else "scores")
    if texts and not options.outputs:
        raise InputError(
            f"the output {excerpt(output.name)!r} of the endpoint is text; name the classes in "
            f"order: outputs = [...], and answers where it gives one label an image"
        )
    outputs = options.outputs
    if outputs is None and answers == "scores" and k is not None and k > 0:
        outputs = k
    if options.at_once is not None and form.batch is not None and form.batch != options.at_once:
        raise InputError(
            f"the model of the endpoint takes exactly {form.batch} images at once; remove at_once"
        )
    at_once = form.batch or options.at_once or MOST_AT_ONCE
    return Questions(answers, outputs, options.names, "numpy", at_once)


def _metadata(connection: Connection, address: EndpointAddress) -> Any:
    reply = connection.get(address.model)
    if reply.status == 200:
        return reply.json()
    if reply.status in (401, 403):
        raise InputError(
            f"the endpoint {address.shown} refuses access (status {reply.status}); put its token "
            f"into an environment variable and name that: endpoint_token_env"
        )
    raise InputError(
        f"the endpoint {address.shown} does not describe its model (status {reply.status}); check "
        f"the name in the address, and that the server speaks the Open Inference Protocol v2"
    )


def _require_ready(connection: Connection, address: EndpointAddress) -> None:
    """InputError where the server says that the model is not ready."""
    reply = connection.get(address.ready)
    # A gateway may not pass this question on: then the first answer shows it.
    if reply.status != 200 and reply.status != 404:
        raise InputError(
            f"the model of the endpoint {address.shown} is not ready (status {reply.status}); load "
            f"it on the server"
        )


def _is_binary(connection: Connection, address: EndpointAddress) -> bool:
    """Whether the server takes tensors as bytes."""
    reply = connection.get(address.server)
    said = reply.json() if reply.status == 200 else None
    extensions = said.get("extensions") if isinstance(said, dict) else None
    return isinstance(extensions, list) and BINARY in extensions


def _format(model: ServedModel, form: ImageForm, binary: bool) -> str:
    version = f", version {excerpt(model.version)}" if model.version else ""
    return (
        f"Open Inference Protocol v2, model {excerpt(model.name)}{version}, input {form.datatype} "
        f"{form.layout}, {'binary' if binary else 'JSON'}"
    )


def _notes(address: EndpointAddress, form: ImageForm) -> Sequence[str]:
    found = []
    if form.datatype == "UINT8":
        found.append(BYTES_NOTE)
    if form.datatype == "FP16":
        found.append("The endpoint takes half precision: images are rounded to about 3 digits.")
    if not address.loopback and not address.encrypted:
        found.append("Images travelled unencrypted (http) to another machine.")
    return found


BYTES_NOTE = (
    "The endpoint takes bytes: every image, attacked ones too, is rounded to 256 grey levels before"
    " the model sees it."
)


def _remedy(status: int) -> str:
    if status in (401, 403):
        return "check the token in the variable that endpoint_token_env names"
    if status == 413:
        return "send fewer images at once: at_once in [model]"
    if status >= 500:
        return "fix the server, then give the same command again, which continues what has begun"
    return "check size, channels and endpoint_layout in [model]"


def _ranked(entries: AnyArray, classes: int) -> AnyArray:
    """Scores `(n, classes)` from entries `score:number:name` of the best classes.

    The others are 0 where scores are probabilities, and else lie below all that were given.
    """
    scores = np.full((len(entries), classes), np.nan, np.float32)
    for row, texts in enumerate(entries.tolist()):
        for text in texts:
            found = _CLASSIFICATION.fullmatch(str(text))
            try:
                assert found is not None
                scores[row, int(found["label"])] = float(found["score"])
            except (AssertionError, ValueError, IndexError):
                raise BlackBoxFailure(
                    f"the endpoint answers {excerpt(text)!r}, which is no score:number of one of "
                    f"{classes} classes; check outputs in [model]"
                ) from None
    given = ~np.isnan(scores)
    inside = ((scores >= 0) & (scores <= 1))[given].all()
    return np.where(given, scores, 0 if inside else np.nanmin(scores) - 1).astype(np.float32)
