"""Sentences on certificates: what is proven, of which function, how sure; where attacks cross."""

from __future__ import annotations

from robust.records import CertifiedAccuracy, CertifiedPoint, Report
from robust.report.text.format import (
    counted,
    of_hundred,
    plain,
    rate_of_hundred,
    short,
    threat_text,
    whole_percent,
)
from robust.units import norm_text, printed_threat

UNKNOWN = "What lies between the two curves nobody knows."
SMOOTHED = (
    "The smoothed classifier is another one than the audited model: it shows the model many copies "
    "of an image with random noise, and gives the reading that most copies get."
)


def certificate_sentences(report: Report) -> tuple[str, ...]:
    """A paragraph for each certificate; empty where the plan has none."""
    return tuple(
        " ".join(sentence for sentence in _sentences(one) if sentence)
        for one in report.certificates
    )


def crossing_sentences(report: Report) -> tuple[str, ...]:
    """What opens a report whose attacks contradict a proof; empty where none does."""
    return tuple(
        f"A proof and an attack contradict each other. The proof is {short(one.certificate)}; "
        f"{one.crossed_text}. One of them is wrong, so neither can be trusted."
        for one in report.certificates
        if one.is_contradicted
    )


def certificate_lines(report: Report) -> tuple[str, ...]:
    """`RandomizedSmoothing proves 41 % [33, 49] at L2 0.25, attacks leave 70 % [62, 77]`."""
    lines = []
    for one in report.certificates:
        if (point := quoted_point(one)) is not None:
            about = "" if one.function == "network" else " (smoothed classifier)"
            line = f"{short(one.certificate)} proves {whole_percent(point.certified)} at "
            line += f"{printed_threat(one.norm, point.eps)}{about}"
            if point.attacked is not None:
                line += f", attacks leave {whole_percent(point.attacked)}"
            lines.append(line)
    return tuple(lines)


def function_text(one: CertifiedAccuracy) -> str:
    """What a proof is about."""
    return "the smoothed classifier" if one.function == "smoothed" else "the audited model"


def _sentences(one: CertifiedAccuracy) -> tuple[str, ...]:
    return (
        _proven(one),
        SMOOTHED if one.function == "smoothed" else "",
        _clean(one),
        _sure(one),
        _cap(one),
        _attacked(one),
        f"But {one.crossed_text}: the proof or an attack is wrong." if one.is_contradicted else "",
        f"The certificate broke off on {counted(one.failed, 'case')} ({plain(one.failure)}); "
        "nothing counts as proven there."
        if one.failed
        else "",
    )


def _proven(one: CertifiedAccuracy) -> str:
    point = quoted_point(one)
    name = short(one.certificate)
    subject = function_text(one)
    if point is None:
        return f"{name} is a proof for {subject}, which reports no size of a change."
    what = threat_text(point.eps, one.norm)
    return (
        f"{name} proves for {rate_of_hundred(point.certified)} of 100 images: {subject} reads the "
        f"image correctly, and an attacker who may {what} cannot alter that."
    )


def quoted_point(one: CertifiedAccuracy) -> CertifiedPoint | None:
    """The point that sentences speak of: the smallest eps above 0; None without any."""
    return next((point for point in one.points if point.eps > 0), None)


def _clean(one: CertifiedAccuracy) -> str:
    """Without attack; how often the function abstains."""
    which = "The smoothed classifier" if one.function == "smoothed" else "Without attack the model"
    text = f"{which} reads {rate_of_hundred(one.clean)} of 100 of these images correctly"
    if one.abstained is not None:
        text += (
            f", and on {rate_of_hundred(one.abstained)} of 100 it abstains, because no reading is "
            "frequent enough"
        )
    return f"{text}."


def _sure(one: CertifiedAccuracy) -> str:
    if one.alpha is None:
        return "The proof is a calculation: it holds for every image that is counted."
    share = of_hundred(one.alpha)
    return (
        f"The proof comes from random draws: for each image it is wrong with a probability of at "
        f"most {share} %."
    )


def _cap(one: CertifiedAccuracy) -> str:
    if one.cap is None:
        return ""
    return (
        f"With so many draws no radius above {decimal_radius(one.cap, one.norm)} can be proven, "
        "however robust the classifier is."
    )


def decimal_radius(radius: float, norm: str) -> str:
    """A measured radius with its norm, as distances are printed."""
    if norm == "Linf":
        return f"{norm_text(norm)} {255 * radius:.2f}/255"
    return f"{norm_text(norm)} {radius:.3f}"


def _attacked(one: CertifiedAccuracy) -> str:
    """What attacks on the same function left, and the gap that remains."""
    point = quoted_point(one)
    if point is None or point.attacked is None:
        return (
            f"No attack on {function_text(one)} in {norm_text(one.norm)} was run beside it: "
            "how many more images are robust nobody knows."
        )
    left, proven = of_hundred(point.attacked.value), of_hundred(point.certified.value)
    text = (
        f"Attacks on {function_text(one)} ({plain(one.attack)}) leave "
        f"{rate_of_hundred(point.attacked)} of 100 correct at that size"
    )
    if left == proven:
        return f"{text}: there the two sides agree."
    if point.attacked.value < point.certified.value:
        return f"{text}."
    return f"{text}. On these images the truth lies between {proven} and {left}. {UNKNOWN}"
