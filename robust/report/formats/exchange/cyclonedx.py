"""CycloneDX ML-BOM (ECMA-424, schema 1.6 and 1.7): model, model card, data sets, libraries.

Written as plain JSON: the library of CycloneDX for Python has no model cards.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import quote

from robust.records import Estimate, Flag, Report
from robust.report.formats.exchange.describe import (
    data_text,
    is_black_box,
    limit_sentences,
    model_name,
    stated,
)
from robust.report.numbers import ReportedNumber, reported_numbers
from robust.report.text.format import condition, flat, plain
from robust.report.text.headline import headline
from robust.report.text.provenance import provenance_facts

SchemaVersion = Literal["1.6", "1.7"]
DEFAULT_SCHEMA: SchemaVersion = "1.6"
"""What most readers know."""
_PROJECT = "robust-audit"
"""Name of this package in a registry."""
_NO_PACKAGES = ("robust", "python", "platform", "device", "threads")
"""Entries of a report's environment that are no libraries."""
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")

Part = dict[str, Any]


def render_cyclonedx(report: Report, schema: SchemaVersion = DEFAULT_SCHEMA) -> str:
    """The BOM as JSON; the same report gives the same text.

    The serial number follows from the report's content, and the only date is the report's own.
    """
    content = report.to_json()
    libraries = [*_libraries(report.environment)]
    tool = _tool(report.environment)
    model = _model(report)
    data = [*_data_sets(report)]
    others = [*_deployed(report)]
    bom: Part = {
        "$schema": f"http://cyclonedx.org/schema/bom-{schema}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": schema,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, _sha256(schema + content))}",
        "version": 1,
        "metadata": _metadata(report, tool, model),
        "components": [*data, *others, *libraries, *_surroundings(report.environment)],
        "dependencies": [
            {"ref": model["bom-ref"], "dependsOn": [one["bom-ref"] for one in data]},
        ],
    }
    return json.dumps(bom, indent=1, ensure_ascii=False) + "\n"


def _metadata(report: Report, tool: Part, model: Part) -> Part:
    date = report.timings.reported or report.timings.audited
    operator = stated(report, "operator")
    return {
        **({"timestamp": date} if date else {}),
        "tools": {"components": [tool]},
        **({"authors": [{"name": flat(operator)}]} if operator else {}),
        "component": model,
        "properties": [
            *_properties({"title": report.title, "finished": _yes(report.is_finished)}),
            *_properties({"summary": sentence} for sentence in headline(report)),
        ],
    }


def _tool(environment: Mapping[str, Any]) -> Part:
    return {
        **_package("application", _PROJECT, str(environment.get("robust", ""))),
        "description": "Audits trained medical imaging models against attackers.",
    }


def _libraries(environment: Mapping[str, Any]) -> Iterator[Part]:
    for name, version in environment.items():
        if name not in _NO_PACKAGES:
            library = _package("library", name, str(version))
            yield {**library, "description": "Of the environment in which the audit ran."}


def _package(kind: str, name: str, version: str) -> Part:
    """A package of Python; its purl as the specification of `pypi` wants it."""
    project = re.sub(r"[-_.]+", "-", name).lower()
    known = f"@{quote(version, safe='')}" if version else ""
    purl = f"pkg:pypi/{quote(project, safe='')}{known}"
    versioned = {"version": flat(version)} if version else {}
    return {"type": kind, "bom-ref": purl, "name": flat(name), **versioned, "purl": purl}


def _surroundings(environment: Mapping[str, Any]) -> Iterator[Part]:
    """Interpreter, operating system and device."""
    if version := environment.get("python"):
        yield {
            "type": "platform",
            "bom-ref": "interpreter",
            "name": "Python",
            "version": flat(version),
        }
    if platform := environment.get("platform"):
        yield {"type": "operating-system", "bom-ref": "system", "name": flat(platform)}
    if device := environment.get("device"):
        threads = _properties({"threads": environment.get("threads", "")})
        yield {
            "type": "device",
            "bom-ref": "device",
            "name": flat(device),
            **({"properties": threads} if threads else {}),
        }


# --- the model and its card ---


def _model(report: Report) -> Part:
    version, model = stated(report, "model_version"), report.model
    facts = dict(provenance_facts(report))
    shown = ("Model", "Model format", "Head", "Preprocessing", "Proof of the format", "Window")
    return {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": model_name(report),
        **({"version": flat(version)} if version else {}),
        **({} if is_black_box(report) else _hashes(model.weights_sha256)),
        "modelCard": _card(report),
        "properties": _properties(
            {
                **{name.lower(): facts[name] for name in shown if name in facts},
                "weights": facts["Weights"],
                **{f"attack {plain(name)}": text for name, text in report.attacks.items()},
            }
        ),
    }


def _card(report: Report) -> Part:
    architecture = report.model.source.get("architecture") or report.model.source.get("network")
    task = report.task.name
    parameters: Part = {
        "approach": {"type": "supervised"},
        "task": task,
        **({"modelArchitecture": flat(architecture)} if architecture else {}),
        "datasets": [{"ref": one["bom-ref"]} for one in _data_sets(report)],
        "inputs": [{"format": _input_text(report)}],
        "outputs": [{"format": _output_text(report)}],
    }
    return {
        "bom-ref": "model-card",
        "modelParameters": parameters,
        "quantitativeAnalysis": {
            "performanceMetrics": [_metric(one) for one in reported_numbers(report)]
        },
        "considerations": _considerations(report),
        "properties": [
            *_properties(
                {f"verdict, {condition(row)}": word}
                for row, word in zip(report.worst_cases, report.verdicts, strict=True)
            ),
            *_controls(report),
        ],
    }


def _metric(number: ReportedNumber) -> Part:
    return {
        "type": number.measure,
        "value": _digits(number.estimate.value),
        "slice": number.place,
        **_interval(number.estimate),
    }


def _interval(estimate: Estimate) -> Part:
    if (ends := estimate.interval) is None:
        return {}
    return {"confidenceInterval": {"lowerBound": _digits(ends[0]), "upperBound": _digits(ends[1])}}


def _controls(report: Report) -> list[Part]:
    """What each number is compared with, and what weakens it: a metric has no place for them."""
    lines = []
    for number in reported_numbers(report):
        name = f"{number.measure}, {number.place}"
        for one in number.controls:
            lines.append({f"control of {name}": str(one)})
        if number.doubt:
            lines.append({f"doubt about {name}": number.doubt})
    return _properties(lines)


def _considerations(report: Report) -> Part:
    use = stated(report, "intended_use")
    return {
        **({"useCases": [flat(use)]} if use else {}),
        "technicalLimitations": [
            *(flat(sentence) for sentence in limit_sentences(report)),
            *(_warning(flag) for flag in report.flags),
        ],
    }


def _warning(flag: Flag) -> str:
    name, observed, why, remedy = map(flat, (flag.name, flag.observed, flag.why, flag.remedy))
    return f"Warning: {name}. Observed: {observed}. Why it matters: {why}. What to do: {remedy}."


def _input_text(report: Report) -> str:
    model = report.model
    sides = "any size" if model.size is None else " x ".join(map(str, model.size))
    kind = "volume" if report.task.volumes else "image"
    channels = f"{model.channels} channels" if model.channels else "any number of channels"
    return f"{kind} in [0, 1] as displayed, {channels}, {sides}"


def _output_text(report: Report) -> str:
    names = report.task.structures or tuple(report.data.classes)
    what = "outlines of" if report.task.is_segmentation else f"{report.model.head} over"
    return f"{what} {', '.join(plain(name) for name in names)}"


# --- data sets and the deployed version ---


def _data_sets(report: Report) -> Iterator[Part]:
    data = report.data
    yield _data_set(
        "data-audited",
        plain(data.source),
        data_text(report),
        report,
        {
            "split": data.split,
            "cases": data.cases,
            "groups": data.groups,
            **{f"cases of class {plain(name)}": count for name, count in data.classes.items()},
            "list of cases, SHA-256": data.index_sha256,
            "synthetic": _yes(data.synthetic),
        },
        data.pixels_sha256,
    )
    if report.detection is not None:
        reference = report.detection.reference
        name = plain(reference.source or data.source)
        text = f"Clean images that detectors learned from: split {plain(reference.split)}."
        properties = {
            "split": reference.split,
            "cases": reference.cases,
            "groups": reference.groups,
            "left out as copies": reference.left_out,
        }
        yield _data_set("data-reference", name, text, report, properties, "")


def _data_set(
    ref: str, name: str, text: str, report: Report, properties: Mapping[str, Any], digest: str
) -> Part:
    sensitive = {} if report.data.synthetic else {"sensitiveData": ["medical images of patients"]}
    return {
        "type": "data",
        "bom-ref": ref,
        "name": name,
        "description": text,
        **_hashes(digest),
        "data": [
            {
                "type": "dataset",
                "name": name,
                "contents": {"properties": _properties(properties)},
                **sensitive,
            }
        ],
    }


def _deployed(report: Report) -> Iterator[Part]:
    if (twin := report.twin) is not None:
        yield {
            "type": "machine-learning-model",
            "bom-ref": "model-deployed",
            "name": f"{model_name(report)}, deployed version",
            "description": plain(twin.source),
            **_hashes(twin.weights_sha256),
        }


# --- small parts ---


def _hashes(digest: str) -> Part:
    """Empty for what is no SHA-256."""
    if not _DIGEST.fullmatch(digest):
        return {}
    return {"hashes": [{"alg": "SHA-256", "content": digest}]}


def _properties(pairs: Any) -> list[Part]:
    """Name and value of each pair, in the name space of this project; empty values are left out."""
    tables = [pairs] if isinstance(pairs, Mapping) else pairs
    return [
        {"name": f"{_PROJECT}:{flat(name)}", "value": flat(value)}
        for table in tables
        for name, value in table.items()
        if value not in ("", None)
    ]


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _digits(value: float) -> str:
    return f"{value:.9g}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
