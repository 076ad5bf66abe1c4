"""Files for other systems, each read by its own reader: CycloneDX's library, huggingface_hub."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import ComponentType
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from huggingface_hub import ModelCard

from robust.records import Estimate, Flag, Report
from robust.report import write_report
from robust.report.formats.exchange.cyclonedx import render_cyclonedx
from robust.report.formats.exchange.model_card import render_model_card
from robust.report.numbers import ReportedNumber, reported_numbers
from tests.report.formats.exchanged import DATES, every_number
from tests.report.hostile import NAMES
from tests.report.outlined import outline_report

SCHEMAS = {"1.6": SchemaVersion.V1_6, "1.7": SchemaVersion.V1_7}
WORST = "worst case, L∞ 4/255"


@pytest.fixture(scope="module")
def report() -> Report:
    return every_number()


def hostile(report: Report) -> Report:
    """The same report with a hostile name wherever a name may stand."""
    names = list(NAMES.values())
    data = dataclasses.replace(
        report.data, source=" ".join(names), split=NAMES["lines"], classes=dict.fromkeys(names, 1)
    )
    stated = {"model_name": NAMES["script"], "model_version": NAMES["escape"]}
    return dataclasses.replace(
        report,
        title=" ".join(names),
        data=data,
        flags=tuple(Flag(name, name, name, name) for name in names),
        rows=tuple(dataclasses.replace(report.rows[1], attack=n, subgroups=()) for n in names),
        detection=None,
        corruptions=None,
        attacks={name: name for name in names},
        environment={**report.environment, NAMES["template"]: NAMES["override"]},
        plan={**report.plan, "report": stated},
    )


def numbers_at(report: Report, measure: str, place: str) -> ReportedNumber:
    (found,) = [
        one for one in reported_numbers(report) if (one.measure, one.place) == (measure, place)
    ]
    return found


def estimates(value: object) -> Iterator[Estimate]:
    """Every estimate within a record, curves aside."""
    if isinstance(value, Estimate):
        yield value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            if field.name not in ("accuracy_curves", "certified") or isinstance(
                getattr(value, field.name), Estimate
            ):
                yield from estimates(getattr(value, field.name))
    elif isinstance(value, dict):
        for one in value.values():
            yield from estimates(one)
    elif isinstance(value, tuple):
        for one in value:
            yield from estimates(one)


# --- the list of numbers ---


@pytest.mark.parametrize("made", [every_number, outline_report])
def test_every_estimate_of_a_report_is_in_the_list(made: Any) -> None:
    report = made()
    listed = {id(one.estimate) for one in reported_numbers(report)}
    missing = [one for one in estimates(report) if id(one) not in listed]
    assert len(listed) > 60 and not missing


def test_what_is_attacked_stands_beside_noise_of_the_same_size(report: Report) -> None:
    noise = report.rows[0]
    one = numbers_at(report, "robust_accuracy", WORST)
    assert one.estimate == report.worst_cases[0].scores.robust_accuracy
    assert [c.estimate for c in one.controls] == [noise.scores.robust_accuracy]
    part = numbers_at(report, "accuracy_under_attack", f"{WORST}; sex = f")
    assert [c.estimate for c in part.controls] == [noise.subgroups[0].scores.accuracy]
    assert numbers_at(report, "robust_accuracy", "CarliniWagnerL2, L2 nearest").controls == ()
    assert numbers_at(report, "robust_accuracy", "Noise, L∞ 4/255").is_control


def test_no_measure_under_attack_has_the_name_of_one_without(report: Report) -> None:
    names = {one.measure for one in reported_numbers(report) if one.section == "clean"}
    assert "accuracy" in names
    attacked = ("worst case", "attacks")
    assert not names & {one.measure for one in reported_numbers(report) if one.section in attacked}


def test_detectors_and_scenarios_stand_beside_their_controls(report: Report) -> None:
    assert report.detection is not None
    numbers = [n for n in reported_numbers(report) if n.measure == "detector_paired_auc"]
    assert numbers and all(
        [c.name.split(",")[0] for c in one.controls][:2]
        == ["null control", "random noise of the same size"]
        for one in numbers
    )
    fooled = next(n for n in reported_numbers(report) if n.measure == "fooled")
    assert [c.estimate for c in fooled.controls] == [report.scenarios[0].control]


# --- CycloneDX ---


def bom(report: Report, schema: Any = "1.6") -> Any:
    return json.loads(render_cyclonedx(report, schema))


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("made", [every_number, outline_report, lambda: hostile(every_number())])
def test_the_bom_is_valid_and_its_own_library_reads_it(made: Any, schema: Any) -> None:
    report = made()
    text = render_cyclonedx(report, schema)
    assert JsonStrictValidator(SCHEMAS[schema]).validate_str(text) is None
    read = Bom.from_json(json.loads(text))
    assert read is not None and read.metadata.component is not None and read.validate()
    assert read.metadata.component.type is ComponentType.MACHINE_LEARNING_MODEL
    (digest,) = read.metadata.component.hashes
    assert digest.content == report.model.weights_sha256
    libraries = {str(one.purl) for one in read.components if one.purl}
    assert len(libraries) >= 1


def test_the_validator_sees_what_is_wrong(report: Report) -> None:
    raw = bom(report)
    card = raw["metadata"]["component"]["modelCard"]
    card["quantitativeAnalysis"]["performanceMetrics"][0]["control"] = "none"
    found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(raw))
    assert found is not None and "control" in str(found)


def test_metrics_have_their_slice_and_both_bounds(report: Report) -> None:
    card = bom(report)["metadata"]["component"]["modelCard"]
    metrics = card["quantitativeAnalysis"]["performanceMetrics"]
    assert len(metrics) == len(reported_numbers(report))
    wanted = {
        "type": "robust_accuracy",
        "value": "0.2",
        "slice": f"{WORST}; sex = f",
        "confidenceInterval": {"lowerBound": "0.15", "upperBound": "0.25"},
    }
    assert wanted in metrics
    chance = next(one for one in metrics if one["type"] == "ece_chance_under_attack")
    assert "confidenceInterval" not in chance
    properties = {one["name"]: one["value"] for one in card["properties"]}
    assert properties[f"robust-audit:verdict, {WORST}"] == "mostly fooled"
    control = properties[f"robust-audit:control of robust_accuracy, {WORST}"]
    assert control == "random noise of the same size: 0.95 [0.9, 1]"
    said = " ".join(card["considerations"]["technicalLimitations"])
    assert "Warning: copies of images." in said and "Robust accuracy is at most" in said


def test_model_data_and_libraries_are_components(report: Report) -> None:
    raw = bom(report)
    model = raw["metadata"]["component"]
    assert (model["name"], model["version"]) == ("LungNet", "2.1")
    assert raw["metadata"]["authors"] == [{"name": "QA"}]
    (tool,) = raw["metadata"]["tools"]["components"]
    assert tool["purl"] == "pkg:pypi/robust-audit@0.2.0"
    by_ref = {one["bom-ref"]: one for one in raw["components"]}
    assert by_ref["data-audited"]["hashes"] == [{"alg": "SHA-256", "content": "c" * 64}]
    assert by_ref["data-audited"]["data"][0]["sensitiveData"] == ["medical images of patients"]
    assert "pkg:pypi/torch@2.14.1%2Bcpu" in by_ref and "pkg:pypi/scikit-learn@1.9.1" in by_ref
    assert by_ref["model-deployed"]["hashes"][0]["content"] == "b" * 64
    assert {"data-reference", "interpreter", "system", "device"} <= by_ref.keys()


def test_the_bom_follows_from_the_report_alone(report: Report) -> None:
    assert render_cyclonedx(report) == render_cyclonedx(every_number())
    raw = bom(report)
    assert raw["metadata"]["timestamp"] == DATES.reported
    other = bom(dataclasses.replace(report, title="Another"))
    assert raw["serialNumber"] != other["serialNumber"]
    text = render_cyclonedx(dataclasses.replace(report, timings=type(DATES)()))
    assert "timestamp" not in json.loads(text)["metadata"]


def test_the_hash_of_an_address_is_not_taken_for_that_of_weights(report: Report) -> None:
    from robust.records import QueryCounts

    asked = dataclasses.replace(DATES, queries=QueryCounts({"clean": 60}))
    assert "hashes" not in bom(dataclasses.replace(report, timings=asked))["metadata"]["component"]


# --- Hugging Face ---


@pytest.mark.parametrize(
    ("made", "task"),
    [
        (every_number, "image-classification"),
        (outline_report, "image-segmentation"),
        (lambda: hostile(every_number()), "image-classification"),
    ],
)
def test_hugging_face_reads_every_number_of_all_cases(made: Any, task: str) -> None:
    report = made()
    card = ModelCard(render_model_card(report))
    whole = [one for one in reported_numbers(report) if not one.part]
    assert card.data.pipeline_tag == task
    read = card.data.eval_results
    assert read is not None and len(read) == len(whole)
    for result, number in zip(read, whole, strict=True):
        assert result.metric_value == pytest.approx(number.estimate.value, rel=1e-8)
        assert number.condition in result.metric_name
        controls = result.metric_args.get("controls", [])
        assert [c["value"] for c in controls] == pytest.approx(
            [c.estimate.value for c in number.controls], rel=1e-8
        )
        ends = number.estimate.interval
        wanted = "none" if ends is None else pytest.approx(list(ends), rel=1e-8)
        assert result.metric_args["interval_95"] == wanted
    assert ModelCard(str(card)).data.to_dict() == card.data.to_dict()


def test_in_the_text_each_figure_stands_beside_its_control(report: Report) -> None:
    text = ModelCard(render_model_card(report)).text
    lines = [line for line in text.splitlines() if line.startswith("| robust accuracy | worst")]
    assert "0.300 [0.250, 0.350] | 0.950 [0.900, 1.000]" in lines[0]
    assert "none in this audit" in next(
        line for line in text.splitlines() if "CarliniWagnerL2, L2 nearest" in line
    )
    assert "is itself a control" in text
    assert "**copies of images**" in text and "## Limits" in text and "mostly fooled" in text


def test_a_card_without_noise_says_that_there_is_no_control(report: Report) -> None:
    alone = dataclasses.replace(report, rows=report.rows[1:], survival=())
    text = ModelCard(render_model_card(alone)).text
    line = next(line for line in text.splitlines() if line.startswith("| robust accuracy | worst"))
    assert "0.300 [0.250, 0.350] | none in this audit" in line


def test_names_stay_within_their_cells(report: Report) -> None:
    text = ModelCard(render_model_card(hostile(report))).text
    assert "<script" not in text and not re.search(r"(?<!\\)\]\(|(?<!\\)`", text)
    assert not {c for c in text if ord(c) < 32 and c != "\n"}


# --- files ---


def test_both_are_formats_of_a_report(report: Report, tmp_path: Path) -> None:
    cut = dataclasses.replace(report, missing_stages=("table",))
    write_report(cut, tmp_path, "cyclonedx", "model-card")
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["unfinished-model-card.md", "unfinished.cdx.json"]
    assert "not finished" in (tmp_path / "unfinished-model-card.md").read_text(encoding="utf-8")
    write_report(report, tmp_path, "cyclonedx", "model-card")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model-card.md", "report.cdx.json"]
