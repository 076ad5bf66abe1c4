"""Drafts the `[data]` table of a MedMNIST file, or of another npz file in its form."""

from __future__ import annotations

from pathlib import Path

from robust.cases.medmnist import COLUMNS
from robust.cases.npz import load_array
from robust.drafting.draft import Draft, Question
from robust.drafting.findings import AskedFor, draft_all
from robust.drafting.layouts import PublicLayout
from robust.errors import InputError, did_you_mean


def draft_npz(draft: Draft, path: Path, layout: PublicLayout, wanted: AskedFor) -> None:
    """Fill `[data]` from the labels of an npz file; InputError where it has none."""
    stem, finding = path.stem.partition("_")[0], wanted.finding
    public = layout.sets.get(stem)
    draft.set("data.path", path.as_posix())
    draft.set("data.group", "none", layout.why["group"])
    draft.set("data.split", "test")
    draft.set("report.images", (public or {}).get("images", layout.images))
    if public is not None:
        draft.about.append(f"{layout.name}: {stem}. {layout.about}")
        draft.set("title", f"Robustness audit on {layout.name}, {stem}")
    labels = load_array(path, f"{draft.get('data.split')}_labels")
    count = labels.shape[1] if labels.ndim == 2 else 1
    if count > 1:
        names = COLUMNS.get(stem, ())
        known = names if len(names) == count else tuple(map(str, range(count)))
        if wanted.are_all(known):
            draft_all(draft, wanted, known, "the published order")
        elif finding is not None:
            if finding not in known:
                hint = did_you_mean(finding, known, limit=20)
                raise InputError(f"{path.name} has no finding {finding!r}; {hint}")
            draft.set("data.label", finding, "The finding that is audited.")
        else:
            draft.ask(
                Question(
                    "data.label",
                    f"Which of the {count} findings is audited? --finding names it too.",
                    known[0],
                    known,
                )
            )
        return
    if public is None:
        return
    for name in ("classes", "findings"):
        if name in public:
            why = "As published, in the order of the labels." if name == "classes" else ""
            draft.set(f"data.{name}", public[name], why or "malignant or referable", guess=not why)
    if stem in ("pneumoniamnist", "octmnist"):
        draft.set("data.findings", public["findings"])
    if finding is not None:
        draft.set("data.findings", [finding], "The finding that is audited.")
