"""Glossary: the terms of a report, each in one to three sentences."""

from __future__ import annotations

TERMS: dict[str, tuple[str, str]] = {
    "eps": (
        "eps",
        "The largest change that an attacker may make to an image. Pixels run from 0 (black) to 1 "
        "(white) as displayed; 1/255 is the smallest step that an 8-bit screen can show.",
    ),
    "norm": (
        "L∞, L2, L1, L0",
        "How the size of a change is measured. L∞: the largest change of any pixel. L2: the square "
        "root of the sum of all squared changes. L1: the sum of all changes without their signs. "
        "L0: the number of pixels that change, by any amount.",
    ),
    "clean": ("clean", "An unmodified image, as it is in the data."),
    "accuracy": (
        "accuracy",
        "The share of all images that the model reads correctly. Under attack this includes the "
        "images already misread before the attack.",
    ),
    "robust-accuracy": (
        "robust accuracy",
        "Of the attacked images, all read correctly before, the share that is still read "
        "correctly.",
    ),
    "miss": ("miss", "An image with a finding, read correctly before, is read as normal."),
    "false-alarm": (
        "false alarm",
        "An image without a finding, read correctly before, is read as having one.",
    ),
    "sensitivity": (
        "sensitivity",
        "Of all images with a finding, the share in which the model reports it.",
    ),
    "specificity": (
        "specificity",
        "Of all images without a finding, the share in which the model reports none.",
    ),
    "auc": (
        "AUC",
        "The probability that an image with the finding gets a higher score than one without. 0.5 "
        "is chance, 1 is perfect; below 0.5 the order is reversed. Under attack, images "
        "misread before stay as they are; the attacker's AUC changes them as well.",
    ),
    "attacker-auc": (
        "attacker's AUC",
        "The AUC if the attacker aims at it: every image is changed so that the score of a finding "
        "falls, or rises where there is none, as far as the attacks could, whether or not the "
        "reading changed. Images misread without attack are changed as well, which the AUC leaves "
        "as they are. It is never above the AUC.",
    ),
    "worst-case": (
        "worst case",
        "For each image, the most damaging change within eps that any of the attacks found.",
    ),
    "interval": (
        "95 % interval",
        "The numbers in brackets. If the audit were repeated on other patients, 95 of 100 such "
        "intervals would contain the true number. Computed from groups: an exact binomial interval "
        "(Clopper and Pearson) for as many independent cases as the groups are worth (Korn and "
        "Graubard 1998). No interval is given where there are too few groups for one.",
    ),
    "group": (
        "group",
        "All images of one patient or lesion. They resemble each other, so intervals are computed "
        "from groups and not from single images.",
    ),
    "exact": (
        "exact, curve",
        "An exact row ran its attack in full on every case. A curve row left out the cases already "
        "misread at a smaller eps or under another attack: this saves time and does not change "
        "robust accuracy.",
    ),
    "distance": (
        "median distance",
        "The size of the change in the successful images: half of them changed less, half more.",
    ),
    "threat-model": ("threat model", "What an attacker knows, may do and wants."),
    "difficulty": (
        "attack difficulty",
        "The smallest eps at which the attack succeeds on at least 99 of 100 images (Ma et al. "
        "2021).",
    ),
    "detector": (
        "detector",
        "A program that reads the activations inside the model and gives each image a score. The "
        "higher the score, the more likely the image was attacked.",
    ),
    "detector-alarm": (
        "false alarm of a detector",
        "A clean image that a detector flags as attacked; not to be confused with a false finding "
        "of the model. The accepted rate of false alarms (1, 5 or 10 of 100) sets the threshold of "
        "the detector, on clean images alone.",
    ),
    "paired-auc": (
        "AUC of a detector, paired",
        "The probability that an attacked image gets a higher score than a clean image of the same "
        "cases. 0.5 is chance, 1 is perfect; below 0.5 attacked images look less suspicious than "
        "clean ones.",
    ),
    "detector-auc": (
        "AUC of a detector against all clean images",
        "The same with the clean images of all cases. It is also high if the cases that fall look "
        "suspicious before anybody attacks them.",
    ),
    "selection-control": (
        "selection control",
        "Clean images of the cases that fall against clean images of all other cases. No image is "
        "attacked: an AUC far from 0.5 shows that the cases that fall are special.",
    ),
    "adaptive-attack": (
        "adaptive attack",
        "The attacker knows the detector and looks for an image that fools the model and raises no "
        "alarm. A good result against attackers who do not know the detector says little.",
    ),
    "grey-level": (
        "grey level",
        "One step of the whole numbers that a file stores: 1/255 of the shown range in 8 bits, "
        "less in the 10 to 16 bits of medical files. A smaller change cannot be saved.",
    ),
    "universal-perturbation": (
        "universal perturbation",
        "One change that is added to every image. It can be computed once, on images of other "
        "patients, and needs no access to the live image stream.",
    ),
    "patch": (
        "patch",
        "A small square of arbitrary pixels, like a sticker, that is meant to fool the model "
        "wherever it is placed.",
    ),
    "spatial": (
        "rotation and shift",
        "Each image is turned and moved a little, as a patient may lie otherwise. Every move of a "
        "grid is tried, and the worst one counts.",
    ),
    "transfer": (
        "transfer attack",
        "Images that were made to fool one model often fool others. The attacker needs no access "
        "to the audited model.",
    ),
    "queries": (
        "decision-based attack",
        "The attacker sees only the predicted label of each image sent to the model; these queries "
        "are counted.",
    ),
    "scenario-control": (
        "control of an attack",
        "The same procedure without an attack: with a random change, or with a piece of another "
        "clean image.",
    ),
    "roc": (
        "ROC curve",
        "For each accepted rate of false alarms, the share of attacked images that a detector "
        "detects. Chance gives the diagonal.",
    ),
    "null-control": (
        "null control",
        "The whole procedure on clean images alone, half labelled as attacked. There is nothing to "
        "find: an AUC far from 0.5 shows that the procedure leaks information and that no figure "
        "of this detector can be trusted.",
    ),
    "noise-control": (
        "noise of the same size",
        "A random change as large as that of the attack. A detector that flags it as often as an "
        "attacked image reacts to any change, not to attacks.",
    ),
    "harmless-change": (
        "harmless change",
        "A change that images undergo in normal use: compression, brightness, rotation or blur. A "
        "detector that flags it raises false alarms in normal use.",
    ),
    "transfer-matrix": (
        "transfer matrix",
        "The results of a detector that was fitted on one attack and tested on all of them. In "
        "practice nobody knows which attack will come.",
    ),
    "t-sne": (
        "t-SNE",
        "A two-dimensional map of the deep features of images: neighbours look alike to the model. "
        "Size and distance of groups on the map mean little.",
    ),
    "psnr": (
        "PSNR",
        "Peak signal-to-noise ratio: how small a change is, averaged over the image, in decibels. "
        "Higher is less visible; 20 dB more is a tenth of the change.",
    ),
    "ssim": (
        "SSIM",
        "Structural similarity of two images (Wang et al. 2004): 1 for equal images, near 0 for "
        "unrelated ones.",
    ),
    "certificate": (
        "certificate",
        "A proof that no change up to a certain size alters the reading of an image. Attacks give "
        "an upper bound on robustness, certificates a lower one.",
    ),
    "certified-radius": (
        "certified radius",
        "The size of a change up to which the reading of an image is proven not to alter.",
    ),
    "certified-accuracy": (
        "certified accuracy",
        "The share of images that are read correctly, and whose certified radius reaches eps.",
    ),
    "randomised-smoothing": (
        "randomised smoothing",
        "A way to build a classifier that can be proven (Cohen et al. 2019): the model reads many "
        "copies of the image with random noise, and the most frequent reading counts. It is "
        "another classifier than the model itself.",
    ),
    "abstention": (
        "abstains",
        "The smoothed classifier gives no reading where none is frequent enough among its copies. "
        "That counts as no correct reading.",
    ),
    "crossing": (
        "crossing",
        "An image within the certified radius that an attack made the same classifier misread. "
        "The proof or the attack is then wrong.",
    ),
    "corruption": (
        "corruption",
        "A change that images undergo by accident: noise, blur, movement, compression, a wrong "
        "exposure. Nobody chooses it to fool the model. Severity 1 is mild, 5 is strong.",
    ),
    "balanced-error": (
        "balanced error",
        "The share of images that is misread, computed for each class and then averaged over the "
        "classes, so that a rare class counts as much as a frequent one.",
    ),
    "be": (
        "BE",
        "The balanced error of a corruption in the mean over its severities, divided by that of a "
        "reference model (Di Salvo et al. 2024). Below 1 the audited model makes fewer errors.",
    ),
    "rbe": (
        "rBE",
        "The same of what corruption adds: the error less that of clean images, divided by what "
        "the reference loses. Below 1 the audited model loses less.",
    ),
    "ece": (
        "expected calibration error",
        "How far the model's probabilities are from how often it is right (Guo et al. 2017): the "
        "mean distance between the two, over groups of images with similar probability. 0 is "
        "perfect.",
    ),
    "brier": (
        "Brier score",
        "The mean squared distance between the probabilities that the model gives to the classes "
        "and the truth (Brier 1950). 0 is perfect.",
    ),
    "operating-threshold": (
        "operating threshold",
        "The probability above which the model predicts the second of two classes.",
    ),
}
"""By the id of the entry: the term and its meaning."""

SWEEP_TERMS: dict[str, tuple[str, str]] = {
    "member": (
        "model of a sweep",
        "One trained network with its audit: one level of each thing that was varied.",
    ),
    "random-axis": (
        "random axis",
        "Something that was varied whose values are draws of many, such as seeds, folds or "
        "training images. Nobody asks which seed is best: its values are averaged.",
    ),
    "paired-difference": (
        "paired difference",
        "The difference of two numbers on the same test images. What both models share, such as "
        "images that are hard for both, cancels, so that its interval is narrower than the single "
        "intervals suggest.",
    ),
    "holm": (
        "Holm's correction",
        "Of twenty differences that do not exist, one is shown by chance. The correction (Holm "
        "1979) asks more of each difference the more there are, so that in 95 of 100 such pages "
        "none of those that remain is due to chance.",
    ),
    "variance-share": (
        "share of the variance",
        "How much of the spread between models that should be alike comes from one source. The "
        "variance is the mean squared distance from the mean; the variances of independent sources "
        "add up.",
    ),
    "standard-deviation": (
        "standard deviation",
        "The square root of the variance: about how far a number lies from the mean, in its own "
        "units. Two of three lie within one standard deviation.",
    ),
    "learning-curve": (
        "learning curve, power law",
        "How the error falls as training images are added: a remainder that no number of images "
        "removes, and a part that falls with a power of the number (Cho et al. 2015).",
    ),
    "misfit": (
        "misfit",
        "The measured points lie farther from the power law than chance explains, so that what is "
        "read from the curve is no expectation. Of curves that do follow the law, fewer than one "
        "in ten is called a misfit. Fewer than four sizes of training set are not fitted.",
    ),
    "wanted-images": (
        "training images for a wanted accuracy",
        "The number at which the fitted curve reaches the wanted value. It lies beyond what was "
        "measured where it is larger than the largest training set here.",
    ),
}
"""Terms of a page over a sweep, as `TERMS`."""

OF_CERTIFICATES = (
    *("certificate", "certified-radius", "certified-accuracy", "randomised-smoothing"),
    *("abstention", "crossing"),
)
OF_CORRUPTIONS = ("corruption", "balanced-error", "be", "rbe")
OF_CALIBRATION = ("ece", "brier")
"""Terms that only a report with such results has."""

_OF_CLASSES = (
    *("miss", "false-alarm", "sensitivity", "specificity", "auc", "attacker-auc", "queries"),
    *(*OF_CERTIFICATES, *OF_CALIBRATION, "balanced-error", "operating-threshold"),
)
"""Terms of classification alone."""

_OF_OUTLINES: dict[str, tuple[str, str]] = {
    "norm": (
        "L∞, L2, L1, L0",
        "How the size of a change is measured. L∞: the largest change of any pixel. L2: the square "
        "root of the sum of all squared changes. L2-slice: the L2 of each slice of a volume on its "
        "own, of which the largest counts. L1: the sum of all changes without their signs. L0: "
        "the number of pixels that change, by any amount.",
    ),
    "accuracy": (
        "outlined well",
        "The share of all cases whose Dice, the mean over their structures, reaches the value that "
        "the plan names. Under attack this includes the cases already outlined badly before.",
    ),
    "robust-accuracy": (
        "still outlined well",
        "Of the attacked cases, the share that is still outlined well: its Dice reaches the value "
        "that the plan names, and has not fallen by more than the plan allows.",
    ),
    "success": (
        "attacker succeeds",
        "Of the attacked cases, the share on which the attack reaches its goal.",
    ),
    "dice": (
        "Dice",
        "How far two outlines agree (Dice 1945): twice the pixels that both contain, divided by "
        "the sum of the pixels of each. 1 is perfect, 0 is no overlap. A structure that is missed, "
        "or outlined where there is none, has Dice 0.",
    ),
    "iou": (
        "IoU",
        "Intersection over union, also called Jaccard index: the pixels that both outlines "
        "contain, divided by those that either contains. Never above Dice.",
    ),
    "surface-dice": (
        "surface Dice",
        "The share of both borders that lies within a tolerance of the other border (Nikolov et "
        "al. 2021). 1 means that no part of the border is further off than the tolerance.",
    ),
    "hd95": (
        "HD95",
        "How far the borders are apart: of each border the distances to the other one, of which "
        "the largest 5 % are left out; the larger of both sides counts. Lower is better. For a "
        "structure that is missed, or outlined where there is none, the diagonal of the image.",
    ),
    "volume-error": (
        "volume error",
        "By what share of its true size a structure is outlined too large or too small, on "
        "average; the sign does not count. In images without depth the area takes the place of "
        "the volume.",
    ),
    "missed": (
        "missed",
        "Of the cases with the structure, the share in which no pixel of it is found.",
    ),
    "invented": (
        "invented",
        "Of the cases without the structure, the share in which the model outlines it.",
    ),
    "size-group": (
        "small, medium, large",
        "Thirds of the cases with the structure, by its true size.",
    ),
    "exact": (
        "exact, curve",
        "An exact row ran its attack in full on every case. A curve row left out the cases that "
        "had already fallen at a smaller eps or under another attack: this saves time and does not "
        "change how many are still outlined well.",
    ),
}
"""Terms of segmentation alone, and those that mean something else there."""


def _outline_terms() -> dict[str, tuple[str, str]]:
    """In the order of `TERMS`; what is new follows the share that is still outlined well."""
    found: dict[str, tuple[str, str]] = {}
    for name, entry in TERMS.items():
        if name not in _OF_CLASSES:
            found[name] = _OF_OUTLINES.get(name, entry)
        if name == "robust-accuracy":
            found |= {new: text for new, text in _OF_OUTLINES.items() if new not in TERMS}
    return found


OUTLINE_TERMS = _outline_terms()
"""The glossary of segmentation, as `TERMS`."""
