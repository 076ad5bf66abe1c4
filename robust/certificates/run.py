"""The stage of certificates: a sample of the cases certified batch by batch, beside attacks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from robust.cases.case import Case, sample_rows
from robust.certificates.bounds.network_reading import reading_once
from robust.certificates.certified_accuracy import (
    ProvenCases,
    allowed_crossings,
    certified_points,
)
from robust.certificates.contract import ABSTAINED, Certificate, Certified, SmoothedCertificate
from robust.certificates.network_attacks import attacks_on_network
from robust.certificates.registry import certificate_text, make_certificate, make_certificates
from robust.certificates.sample import SampledCases
from robust.certificates.smoothing.attack import attack_passes
from robust.certificates.smoothing.comparison import attacks_on_smoothed
from robust.engine.batch import read_batches
from robust.engine.run_memory import (
    CERTIFICATES,
    CERTIFIED,
    RANDOM,
    CertifiedCases,
    FinishedCertificates,
)
from robust.engine.session import Session
from robust.errors import BlackBoxFailure, InputError, first_line
from robust.models.acceleration.memory import memory_ran_out
from robust.models.adapter import Adapter
from robust.plan.spec import AuditSpec, CertificateSpec
from robust.records import CertifiedAccuracy
from robust.tasks.contract import Task

_Proof = tuple[int, float, str]
"""Class, radius and failure of a case."""


def check_certificates(specs: Sequence[CertificateSpec], task: Task, classifier: Adapter) -> None:
    """InputError, before any work, for a certificate that cannot work on this task or model."""
    if not specs:
        return
    made = make_certificates(specs)
    if not task.class_count:
        raise InputError(
            "[[certificates]] are for models that answer a class, and this one outlines "
            "structures; take them out"
        )
    if task.class_count < 2:
        raise InputError(
            "[[certificates]] need two classes or more: with one nothing can be misread; take them "
            "out"
        )
    if classifier.origin.is_black_box:
        raise InputError(
            "[[certificates]] read a network that is here, many thousand passes for each case, and "
            "a black box answers each for a query; take them out"
        )
    for certificate in made.values():
        certificate.check(classifier)


def certificate_passes(spec: CertificateSpec, cases: int) -> float:
    """Passes of single images for one certificate and the attack on it, of so many cases."""
    certificate = make_certificate(spec)
    passes = float(certificate.passes)
    if certificate.function == "smoothed":
        smoothed = cast(SmoothedCertificate, certificate)
        sizes = quarters_of_sigma(smoothed) if spec.eps is None else spec.eps
        passes += len(sizes) * attack_passes(smoothed)
    return passes * min(cases, spec.cases)


def run_certificates(
    specs: Sequence[CertificateSpec], audit: AuditSpec, session: Session
) -> tuple[CertifiedAccuracy, ...]:
    """Every certificate of the plan; each batch of cases is stored as soon as it is finished.

    A certificate is left out where the goal of the attacks applies to no case.
    """
    if not specs:
        return ()

    def made() -> FinishedCertificates:
        with reading_once():
            found = [_Certification(*one).run() for one in sampled(specs, audit, session)]
        return FinishedCertificates(tuple(found))

    return session.store.memo(CERTIFICATES, made).certificates


def sampled(
    specs: Sequence[CertificateSpec], audit: AuditSpec, session: Session
) -> Iterator[tuple[CertificateSpec, Certificate, SampledCases]]:
    """Each certificate with its cases; one whose goal applies to no case is left out."""
    rows = _eligible_rows(session)
    for number, (label, certificate) in enumerate(make_certificates(specs).items()):
        spec = specs[number]
        drawn = sample_rows(session.cases.entries, rows, spec.cases, audit.seed)
        if not drawn:
            continue

        def progress(done: float, what: str, number: int = number) -> None:
            session.progress(number + done, len(specs), what)

        stored_as = " ".join(filter(None, (label, _weights(certificate))))
        cases = SampledCases(session, label, stored_as, drawn, audit.seed, progress)
        yield spec, certificate, cases


def certified_cases(cases: SampledCases) -> CertifiedCases:
    """What a run remembers of the cases of a certificate that is finished."""
    every = CertifiedCases([], [], [])
    for number in range(len(cases.parts)):
        found = cases.session.store.get(CERTIFIED.of(cases.stored_as, number))
        assert found is not None  # the certificate is finished
        every.predicted.extend(found.predicted)
        every.radius.extend(found.radius)
        every.failed.extend(found.failed)
    return every


def _weights(certificate: Certificate) -> str:
    """Hash of the weights of networks that are the certificate's own, such as a denoiser's."""
    smoothed = certificate.function == "smoothed"
    return cast(SmoothedCertificate, certificate).weights if smoothed else ""


def _eligible_rows(session: Session) -> list[int]:
    """Rows of the cases that the goal applies to, right or wrong."""
    entries, task = session.cases.entries, session.task
    known = [(one.row, one.kept) for one in session.store.clean() if one.kept is not None]
    if not known:
        return []
    kept = np.stack([values for _, values in known])
    good = task.eligible(kept, [entries[row] for row, _ in known])
    return [row for (row, _), chosen in zip(known, good.tolist(), strict=True) if chosen]


@dataclass(frozen=True)
class _Certification:
    """One certificate on its cases."""

    spec: CertificateSpec
    certificate: Certificate
    cases: SampledCases

    def run(self) -> CertifiedAccuracy:
        """Certify and compare."""
        certificate, cases = self.certificate, self.cases
        stored = self._certified()
        predicted, by_group = np.array(stored.predicted), cases.by_group
        sound = np.array([not reason for reason in stored.failed])
        proven = ProvenCases(
            by_group, sound & (predicted == cases.labels), np.where(sound, stored.radius, 0.0)
        )
        eps, smoothed = self._eps(), certificate.function == "smoothed"
        if smoothed:
            base = cast(SmoothedCertificate, certificate)
            attacked = attacks_on_smoothed(cases, base, proven, sound, eps)
        else:
            attacked = attacks_on_network(cases, certificate.norm)
        clean = by_group.rate(attacked.correct)
        assert clean is not None  # there are cases
        radii, certified = proven.curve()
        text = certificate_text(certificate)
        compared = attacked.compared(proven)
        return CertifiedAccuracy(
            certificate=cases.label,
            text=text if not (own := _weights(certificate)) else f"{text}, weights {own[:16]}",
            norm=certificate.norm,
            function=certificate.function,
            deterministic=certificate.alpha is None,
            alpha=certificate.alpha,
            clean=clean,
            abstained=by_group.rate(sound & (predicted == ABSTAINED)) if smoothed else None,
            median_radius=proven.median_radius(),
            cap=certificate.cap,
            radii=radii,
            certified=certified,
            points=certified_points(proven, attacked, eps),
            attack=attacked.attack,
            compared=compared,
            crossings=int(attacked.crosses(proven).sum()),
            allowed=allowed_crossings(compared, certificate.alpha),
            failed=int((~sound).sum()),
            failure=next(filter(None, stored.failed), ""),
        )

    def _eps(self) -> tuple[float, ...]:
        """The radii to report at, ascending."""
        certificate, session = self.certificate, self.cases.session
        if self.spec.eps is not None:
            return tuple(sorted(set(self.spec.eps)))
        sizes = {c.threat.eps for c in session.cells if c.threat.norm == certificate.norm}
        bounded = tuple(sorted(size for size in sizes if math.isfinite(size)))
        if bounded or certificate.function == "network":
            return bounded
        return quarters_of_sigma(cast(SmoothedCertificate, certificate))

    def _certified(self) -> CertifiedCases:
        """What is proven of all cases, part by part."""
        cases, store = self.cases, self.cases.session.store
        for number, part in enumerate(cases.parts):
            cases.progress(number / (2 * len(cases.parts)), cases.label)
            rows = [cases.rows[i] for i in part]
            memo = CERTIFIED.of(cases.stored_as, number)
            store.memo(memo, lambda rows=rows: self._certify(rows))  # type: ignore[misc]
        return certified_cases(cases)

    def _certify(self, rows: Sequence[int]) -> CertifiedCases:
        """What is proven of some cases, shape by shape."""
        session, found = self.cases.session, dict[int, _Proof]()
        session.classifier.origin.asks_for(self.cases.label)
        for own, cases, x in read_batches(session.cases, rows, session.runner.template):
            found.update(zip(own, self._prove(cases, x), strict=True))
        predicted, radius, failed = zip(*(found[row] for row in rows), strict=True)
        return CertifiedCases(list(predicted), list(radius), list(failed))

    def _prove(self, cases: Sequence[Case], x: Tensor) -> list[_Proof]:
        """Cases of one shape; where the certificate breaks off, each of them has failed."""
        session, certificate = self.cases.session, self.certificate
        try:
            if certificate.function == "network" and session.store.get(RANDOM):
                raise InputError("the outputs of the network are random, and a bound is of one")
            streams = self.cases.streams(cases, self.spec.name)
            with torch.no_grad(), self.cases.repeated(cases, self.spec.name):
                found = _checked(certificate(session.classifier, x, streams), len(x))
        except (KeyboardInterrupt, BlackBoxFailure):
            raise
        except Exception as error:  # noqa: BLE001  (of a foreign network; it proves nothing)
            half = len(cases) // 2
            if memory_ran_out(error) and half:
                parts = slice(0, half), slice(half, None)
                return [proof for part in parts for proof in self._prove(cases[part], x[part])]
            return [(ABSTAINED, 0.0, first_line(error))] * len(cases)
        pairs = zip(found.predicted.tolist(), found.radius.tolist(), strict=True)
        return [(predicted, radius, "") for predicted, radius in pairs]


def quarters_of_sigma(certificate: SmoothedCertificate) -> tuple[float, ...]:
    """Quarters of sigma up to the largest radius that smoothing can prove."""
    step, cap = certificate.sigma / 4, certificate.cap or 0.0
    return tuple(step * k for k in range(1, int(cap / step) + 1))


def _checked(found: Certified, cases: int) -> Certified:
    """What a certificate returned; InputError for what cannot be a proof."""
    radius = found.radius
    if found.predicted.shape != (cases,) or radius.shape != (cases,):
        raise InputError(f"the certificate does not return a class and a radius for {cases} cases")
    if not bool((radius.isfinite() & (radius >= 0)).all()):
        raise InputError("the certificate returns a radius that is negative, NaN or infinite")
    return found
