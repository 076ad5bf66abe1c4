"""Registration of certificates: every one by name, and how a plan's table becomes one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pydantic

from robust.certificates.contract import Certificate
from robust.certificates.exact import ExactBounds
from robust.certificates.interval_bounds import IntervalBounds
from robust.certificates.linear_relaxation import CROWN
from robust.certificates.smoothing.denoised_smoothing import DenoisedSmoothing
from robust.certificates.smoothing.randomized_smoothing import RandomizedSmoothing
from robust.errors import InputError, did_you_mean
from robust.plan.spec import CertificateSpec, label_of

CERTIFICATES: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (RandomizedSmoothing, DenoisedSmoothing, IntervalBounds, CROWN, ExactBounds)
}
"""Every certificate by name. A line here adds one."""


def make_certificates(specs: Sequence[CertificateSpec]) -> dict[str, Certificate]:
    """Those of a plan by label; InputError where one is wrong or two are called alike."""
    labels = certificate_labels(specs)
    return dict(zip(labels, map(make_certificate, specs), strict=True))


def make_certificate(spec: CertificateSpec) -> Certificate:
    """The certificate of a plan's table; InputError for an unknown name, field or value."""
    kind = CERTIFICATES.get(spec.name)
    if kind is None:
        raise InputError(
            f"[[certificates]] unknown certificate {spec.name!r}; "
            f"{did_you_mean(spec.name, CERTIFICATES)}"
        )
    names = [field.name for field in dataclasses.fields(kind)]
    for name in spec.fields():
        if name not in names:
            raise InputError(
                f"[[certificates]] {spec.name} has no field {name!r}; {did_you_mean(name, names)}"
            )
    try:
        made: Certificate = pydantic.TypeAdapter(kind).validate_python(spec.fields())
        return made
    except pydantic.ValidationError as error:
        detail = error.errors()[0]
        place = "".join(f"{part} " for part in detail["loc"][:1])
        message = detail["msg"].removeprefix("Value error, ")
        raise InputError(f"[[certificates]] {label_of(spec)}: {place}{message}") from None


def certificate_labels(specs: Sequence[CertificateSpec]) -> list[str]:
    """The report's name for each certificate; InputError where two would be the same."""
    labels = [label_of(spec) for spec in specs]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(f"two certificates would be called {label!r}; give one its own label")
    return labels


def certificate_text(certificate: Certificate) -> str:
    """The certificate with all its parameters: `RandomizedSmoothing(sigma=0.25, ...)`."""
    return repr(certificate)
