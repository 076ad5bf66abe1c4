"""Every target of the fuzzer by name."""

from __future__ import annotations

from tests.fuzz import dicom, images, networks, reports, runs, texts, volumes
from tests.fuzz.machine import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("png", images.prepare_png),
        Target("jpeg", images.prepare_jpeg),
        Target("tiff", images.prepare_tiff),
        Target("bmp", images.prepare_bmp),
        Target("webp", images.prepare_webp),
        Target("gif", images.prepare_gif),
        Target("npz", images.prepare_npz),
        Target("nifti", volumes.prepare_nifti),
        Target("mask", volumes.prepare_mask),
        Target("cases.csv", texts.prepare_table),
        Target("where", texts.prepare_filter),
        Target("plan.toml", texts.prepare_plan),
        Target("recipe.toml", texts.prepare_recipe),
        Target("report.json", reports.prepare_report),
        Target("safetensors", networks.prepare_safetensors),
        Target("pth", networks.prepare_pth),
        Target("torchscript", networks.prepare_torchscript),
        Target("pt2", networks.prepare_pt2),
        Target("onnx", networks.prepare_onnx),
        Target("guard", networks.prepare_guard),
        Target("trained", networks.prepare_trained),
        Target("run", runs.prepare_run, count=300),
        Target("dicom", dicom.prepare_dicom, count=20_000),
    )
}
