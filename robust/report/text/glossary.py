"""The terms of a report, each in a sentence or two; shown on hover and at its end."""

from __future__ import annotations

TERMS: dict[str, tuple[str, str]] = {
    "eps": (
        "eps",
        "How far the attacker may change an image. Pixels run from 0 (black) to 1 (white) as "
        "displayed; 1/255 is the smallest step that an 8-bit screen can show.",
    ),
    "norm": (
        "L∞, L2",
        "How a change is measured. L∞: the largest change of any pixel. L2: the square root of "
        "the sum of all squared changes.",
    ),
    "accuracy": (
        "accuracy",
        "The share of all images that are read correctly; under attack, those that were wrong to "
        "begin with stay as they are.",
    ),
    "robust-accuracy": (
        "robust accuracy",
        "Of the images that are read correctly and were attacked, the share that is still read "
        "correctly.",
    ),
    "miss": ("miss", "An image with a finding, read correctly before, is read as free of it."),
    "false-alarm": (
        "false alarm",
        "An image without a finding, read correctly before, is read as having one.",
    ),
    "sensitivity": ("sensitivity", "Of all images with a finding, the share called so."),
    "specificity": ("specificity", "Of all images without a finding, the share called so."),
    "auc": (
        "AUC",
        "The chance that an image with the finding gets a higher score than one without: 0.5 is a "
        "coin, 1 is perfect, below 0.5 the order is turned around.",
    ),
    "worst-case": (
        "worst case",
        "For each image the most damaging change that any of the attacks found within eps.",
    ),
    "interval": (
        "95 % interval",
        "In brackets. Were the audit repeated on other patients, 95 of 100 such intervals would "
        "hold the true number. Resampled by group, 1,000 times; at 0 and 100 % exact bounds "
        "(Clopper and Pearson) on the number of groups.",
    ),
    "group": (
        "group",
        "All images of one patient or lesion. They resemble each other, so they count as one when "
        "intervals are computed.",
    ),
    "exact": (
        "exact, curve",
        "An exact row ran its attack in full on every case; a curve row left out the cases that "
        "had already fallen, which saves time and leaves robust accuracy as it is.",
    ),
    "distance": (
        "median distance",
        "By how much the successful images were changed: half of them by less, half by more.",
    ),
    "threat-model": (
        "threat model",
        "What an attacker knows, may do and wants.",
    ),
    "difficulty": (
        "attack difficulty",
        "The least eps at which at least 99 of 100 attacks succeed (Ma et al. 2021).",
    ),
    "detector": (
        "detector",
        "A program that watches what happens inside the model while it reads an image, and says "
        "how suspicious the image is: the higher its score, the more likely it was attacked.",
    ),
    "detector-alarm": (
        "false alarm of a detector",
        "A clean image that a detector takes for an attacked one; not to be confused with a "
        "finding that the model invents. The share that is allowed (1, 5 or 10 of 100) sets the "
        "detector's threshold, on clean images alone.",
    ),
    "detector-auc": (
        "AUC of a detector",
        "The chance that an attacked image gets a higher score than a clean one: 0.5 is a coin, 1 "
        "is perfect; below 0.5 attacked images look more harmless than clean ones.",
    ),
    "adaptive-attack": (
        "adaptive attack",
        "One by somebody who knows of the detector, and looks for an image that fools the model "
        "and raises no alarm. What a detector is worth against attackers who do not know of it "
        "says little.",
    ),
    "grey-level": (
        "grey level",
        "One step of the whole numbers that a file stores: 1/255 of the shown range in 8 bits, "
        "less in the 10 to 16 bits of medical files. A smaller change cannot be stored.",
    ),
    "universal-perturbation": (
        "universal perturbation",
        "One change that is added to every image alike. It can be made once, on images of other "
        "patients, and needs no computer between the camera and the model.",
    ),
    "patch": (
        "patch",
        "A small square of any pixels, as of a sticker, which fools wherever it lies.",
    ),
    "transfer": (
        "transfer",
        "Images that were made to fool one model often fool others, so that an attacker may never "
        "have touched the model that is audited.",
    ),
    "queries": (
        "attack by queries",
        "One that only shows images to the model and hears the label; each time counts.",
    ),
    "scenario-control": (
        "control of an attack",
        "The same procedure with a change that nobody aimed: what it fools, chance fools.",
    ),
    "roc": (
        "ROC curve",
        "For each share of false alarms that one is ready to accept, the share of attacked images "
        "that a detector then sees. A coin gives the diagonal.",
    ),
    "null-control": (
        "null control",
        "The whole procedure again on clean images alone, half of which play the attacked ones. "
        "There is nothing to find: an AUC far from 0.5 shows that the procedure leaks, and that no "
        "other figure of this detector means anything.",
    ),
    "noise-control": (
        "noise of the same size",
        "Random change as large as the attack's. A detector that sees it as well as the attack "
        "sees that something moved, and not that someone attacked.",
    ),
    "harmless-change": (
        "harmless change",
        "What happens to images in daily life: they are compressed, brightened, turned or blurred. "
        "A detector that takes these for attacks raises false alarms every day.",
    ),
    "transfer-matrix": (
        "transfer matrix",
        "What a detector that was fitted on one attack is worth against every other: nobody knows "
        "beforehand which attack will come.",
    ),
    "t-sne": (
        "t-SNE",
        "A map of what the model makes of its images: neighbours on it are alike to the model. "
        "How far apart two groups lie, and how large they are, means little.",
    ),
    "operating-threshold": (
        "operating threshold",
        "The probability of the finding from which on the model calls it.",
    ),
}
"""By the word that a link ends in: the term, and what it means."""
