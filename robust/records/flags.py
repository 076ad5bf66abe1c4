"""Warnings about a report's numbers: when each is raised, why it matters, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Voided = Literal["", "robustness", "attacks"]
"""What a warning voids, each more than the one before: nothing; every claim that images stay
correct under attack; every verdict on an attack. Clean scores stand: they are what was measured."""
_VOIDED: tuple[Voided, ...] = ("", "robustness", "attacks")


@dataclass(frozen=True)
class Flag:
    """A warning about the numbers: it stands next to them wherever they are shown."""

    name: str
    """Name of the warning, one of `FLAGS`."""
    observed: str
    """What was observed, with the figures."""
    why: str
    """Why it weakens a number."""
    remedy: str
    """What to do about it."""


@dataclass(frozen=True)
class FlagText:
    """The fixed texts of one warning; a check adds what it observed."""

    name: str
    """Name of the warning: gates of a plan name it."""
    raised_if: str
    """Condition under which the warning is raised, as the end of the sentence `Raised if ...`."""
    why: str
    """Why it weakens a number; a sentence without its full stop."""
    remedy: str
    """What to do about it; a sentence without its full stop."""
    voids: Voided = ""
    """What the warning voids. `robustness` where robust accuracy is then too high: an attack that
    succeeds still counts, one that fails shows nothing."""
    probed: bool = False
    """Whether only the probe can raise it, so that it is not checked without the probe."""
    outline_why: str = ""
    """`why` of a model that outlines structures; empty where it is the same."""
    outline_remedy: str = ""
    """`remedy` of a model that outlines structures; empty where it is the same."""

    @property
    def void_text(self) -> str:
        """What is withheld where the warning is raised, as a sentence without its full stop."""
        return {
            "": "",
            "robustness": (
                "every verdict that images stay correct, and no gate on robust accuracy, "
                "sensitivity, specificity or `withstands` passes"
            ),
            "attacks": "every verdict on an attack, and no gate on attacks or detectors passes",
        }[self.voids]

    def flag(self, observed: str, *, outlines: bool = False) -> Flag:
        """The warning with what was observed in one run, of classes or of outlines."""
        why = (outlines and self.outline_why) or self.why
        remedy = (outlines and self.outline_remedy) or self.remedy
        return Flag(self.name, observed, why, remedy)


_TEXTS = (
    FlagText(
        "a null control raised an alarm",
        "a detector's null control (clean groups labelled as attacked) has a mean AUC more than "
        "0.03 from 0.5, significant at 1 % after Holm's correction",
        "a detector that finds attacks among clean images has learned from what it scores: none of "
        "its figures can be trusted",
        "look for images that are both in the reference and audited, and for copies of images that "
        "are in different groups and were not found",
    ),
    FlagText(
        "which cases fall explains detection",
        "a detector's AUC against all clean images differs from 0.5, the selection control (clean "
        "images of the cases that fall against those of the others) does so on the same side, "
        "significant at 1 % after Holm's correction, and the paired AUC keeps less than half of "
        "the distance from 0.5",
        "cases that fall lie near the decision boundary and look suspicious before anybody attacks "
        "them: the detector tells cases apart, and not attacks",
        "quote the paired AUC; audit a larger eps as well, at which more cases fall",
    ),
    FlagText(
        "run cut short",
        "the run has not finished all its stages: attacks on every case, detectors, adaptive "
        "attacks, certificates, corruptions, scenarios, the probe, the effect of saving, example "
        "images and the table, as far as the plan asks for them",
        "cases run in the order of the data, often class by class: the first ones are not a fair "
        "sample; and a stage that did not run has raised no warning",
        "give the same audit command again; it continues where it stopped",
        voids="attacks",
        outline_why="cases run in the order of the data: the first ones are not a fair sample; and "
        "a stage that did not run has raised no warning",
    ),
    FlagText(
        "certificate crossed",
        "attacks found adversarial images nearer than a certificate's proven radius: one at all "
        "where the proof is a calculation, more than a binomial test at 5 % allows where it comes "
        "from random draws",
        "a proof and an attack on the same classifier cannot both be right: the certificate, the "
        "attack, or how either was judged has a fault, and every number may have it",
        "report it, with the plan; look for a network that computes otherwise when it is proven "
        "than when it is attacked: another precision, random outputs, parts in training mode",
        voids="attacks",
    ),
    FlagText(
        "synthetic images",
        "the images are synthetic: a program drew them",
        "figures measured on synthetic images say nothing about patients",
        "repeat the audit on clinical images",
    ),
    FlagText(
        "clean accuracy no better than a constant",
        "neither the mean recall over the classes nor the AUC on clean images is above chance at "
        "the 5 % level, one-sided, by groups; with fewer than 30 groups, by one standard error",
        "labels, preprocessing or weights may not belong together; then no other figure counts",
        "check the order of the classes, mean, std and size",
        voids="attacks",
    ),
    FlagText(
        "classes in another order",
        "other names for the classes would halve the misread clean images or more: most images of "
        "each class concerned are read as one and the same other class, more than a toss-up would "
        "do at the 0.1 % level, by groups",
        "the names of the classes are then not in the order of the model's outputs: every figure "
        "counts right readings as wrong ones",
        "give classes in the order of the model's outputs (`classes` in `[data]`)",
        voids="attacks",
    ),
    FlagText(
        "few clean images outlined well",
        "fewer than half of the clean images are outlined well",
        "labels, preprocessing or weights may not belong together; and only images that are "
        "outlined well are attacked: figures under attack stand for the easy ones",
        "check the class numbers of the masks, mean, std, size and window, or lower dice in "
        "[segmentation]",
    ),
    FlagText(
        "constant predictions",
        "the model reads images as other classes than its most frequent reading less than a tenth "
        "as often as the labels have other classes than their most frequent one",
        "a model that always gives the same answer cannot be led astray: its robust accuracy is "
        "high and means nothing",
        "set the operating threshold to a sensitivity (`sensitivity` in `[audit]`), or train on "
        "weighted classes",
        voids="attacks",
    ),
    FlagText(
        "clean accuracy below the claim",
        "the 95 % interval of clean accuracy or AUC lies more than 0.02 below the figure that the "
        "plan or the model card claims",
        "the images are preprocessed otherwise than in training, or the data differ: robustness is "
        "then that of another model than the one described by the maker",
        "check mean, std, size, channels and the order of the classes against the training code",
    ),
    FlagText(
        "random outputs",
        "passes of the same batch differ by more than 0.001 of the spread of logits",
        "the gradient of a single pass belongs to another network than the mean that is judged, so "
        "attacks look weaker; a mean of few passes still depends on chance",
        "switch off dropout and random preprocessing, or set eot in `[audit]`, such as `eot = 16`: "
        "attacks then climb the mean of so many passes (expectation over transformation); raise it "
        "until accuracy under attack no longer falls",
        voids="attacks",
        probed=True,
    ),
    FlagText(
        "outputs depend on the batch",
        "the same images in half the batch give logits that differ by more than 0.001 of their "
        "spread, and by more than twice what a second pass changes",
        "batch normalisation in training mode, or another layer, mixes the images of a batch: what "
        "an attack finds in one batch need not hold in another, nor for a single patient",
        "put every normalisation into evaluation mode, with the statistics of training",
        voids="attacks",
        probed=True,
    ),
    FlagText(
        "parts in training mode",
        "a part of the model stays in training mode after `eval()`",
        "dropout, normalisation or augmentation for training may still be active",
        "let train(False) reach every part of the model",
        probed=True,
    ),
    FlagText(
        "the deployed version reads otherwise",
        "the deployed version (`[twin]`) reads at least 2 % of the unmodified images, and at least "
        "3, otherwise than the model",
        "rounding changes few readings: it may be another model or have other preprocessing, and "
        "the results of the audit then say little of it",
        "compare mean, std, size, the order of the classes and the threshold of both; calibrate "
        "the quantisation on images of the data",
    ),
    FlagText(
        "attacks without a verdict",
        "an attack could not be evaluated on some case: it crashed, gave NaN, or broke its limits",
        "these cases count neither as robust nor as misread; rates are computed without them",
        "fix or remove the attack",
        outline_why="these cases count neither as held nor as lost; rates are computed without "
        "them",
    ),
    FlagText(
        "workers disagree",
        "a chunk of cases was computed again on another worker, and an attack succeeds on a case "
        "there that it fails on here, or the other way round",
        "the same computation rounds differently on another processor or another version of a "
        "library: cases at the edge of a success count by chance",
        "run all workers on processors of one kind with the same versions, or read the rates as "
        "uncertain by as many cases as differ",
    ),
    FlagText(
        "no gradients",
        "no gradient leads through the model: a quantised file, operators without a derivative, or "
        "a model that is asked from outside",
        "attacks without gradients find fewer adversarial images, so true robust accuracy is "
        "lower; adaptive attacks on detectors and the attacker's own rounding did not run",
        "audit the network that the model was made from, or attack it as a surrogate",
        voids="robustness",
    ),
    FlagText(
        "gradients replaced",
        "the plan names parts of the model that the attacker's gradients pass as if they were not "
        "there (`straight_through` in `[model]`)",
        "the gradient is then one that the model does not have, a guess that serves where the "
        "part changes an image little: an attack that succeeds counts, one that fails shows less",
        "compare with the model without these parts, and with attacks without gradients (Square)",
    ),
    FlagText(
        "gradients vanish",
        "the model gives no gradient, or that of the margin is nearly zero on at least 10 % of the "
        "probed cases, and at least 3",
        "an attack that follows gradients does not move there and calls the case robust",
        "remove what blocks gradients (rounding, clipping, a library outside torch), let gradients "
        "pass it (`straight_through` in `[model]`), or attack a differentiable surrogate and use "
        "attacks without gradients",
        voids="robustness",
        probed=True,
    ),
    FlagText(
        "gradients mislead",
        "on at least 25 % of the probed cases, and at least 3, a small step along the gradient "
        "changes the margin by less than a third or more than three times of what it predicts",
        "the gradient is not that of the function: attacks that follow it are weak",
        "look for custom backward passes and sparse activations; use attacks without gradients",
        voids="robustness",
        probed=True,
    ),
    FlagText(
        "gradients point away from the boundary",
        "a search along straight lines finds adversarial images on at least 2 % of the cases, and "
        "at least 3, that the plan's attacks with gradients and further steps left correct, on "
        "lines along which the attacks would not go: against the gradient, or such that the margin "
        "falls before it rises",
        "there is a hill between the image and the boundary: attacks that climb the gradient walk "
        "away from it and call the case robust, so true robust accuracy is lower",
        "look for custom backward passes and for activations or losses that are not monotone; add "
        "Square and AutoAttack to the plan, or attack a surrogate without the hill",
        voids="robustness",
        probed=True,
    ),
    FlagText(
        "adversarial regions narrower than a step",
        "a search along straight lines finds adversarial images on at least 2 % of the cases, and "
        "at least 3, that the plan's attacks with gradients and further steps left correct, in "
        "stretches of at most an eighth of eps with correct images on both sides",
        "the steps of attacks, a tenth of eps or more, pass over regions so narrow and call the "
        "case robust, so true robust accuracy is lower",
        "take smaller steps from many starts, and add AutoAttack; look for what makes the outputs "
        "jump back and forth: quantisation, sparse activations, periodic functions",
        voids="robustness",
        probed=True,
    ),
    FlagText(
        "black box beats white box",
        "an attack without gradients succeeds on at least 10 % of the cases, and at least 3, that "
        "the plan's attacks with gradients and further steps left correct",
        "an attacker with gradients can do all that an attacker without them can: gradients are "
        "masked, and true robust accuracy is lower",
        "add Square to the plan; attack a surrogate whose gradients are those of the function",
        voids="robustness",
        probed=True,
    ),
    FlagText(
        "attacks fail without bounds",
        "at least 20 % of the probed cases, and at least 3, stay correct although the attack may "
        "change every pixel to any value",
        "an image of another class is within reach there, so the attack fails, not the attacker",
        "look for masked gradients; use attacks without gradients",
        voids="robustness",
        probed=True,
        outline_why="an image without the structures is within reach there, so the attack fails, "
        "not the attacker",
    ),
    FlagText(
        "accuracy rises with eps",
        "an iterative attack succeeds on fewer cases at a larger eps, by at least 2 % of the "
        "attacked cases and at least 3",
        "whatever lies within the smaller eps lies within the larger: the attack fails to find it",
        "use the worst case, which keeps what was found at smaller eps; look for masked gradients "
        "and take more steps",
        voids="robustness",
    ),
    FlagText(
        "the objective does not rise",
        "all iterative attacks at one eps leave at least 5 % of the attacked cases, and at least "
        "3, no nearer to a wrong class than the clean image",
        "an attack that does not improve on doing nothing says nothing about robustness",
        "look for masked gradients and steps of the wrong size; add an attack on the margin",
        voids="robustness",
    ),
    FlagText(
        "no better than noise",
        "an attack succeeds on no more cases than the plan's random noise of the same size",
        "an attack that is no better than random noise has not used the model's gradients",
        "look for masked gradients; run stronger attacks before trusting the number",
    ),
    FlagText(
        "more steps still help",
        "more steps and restarts succeed on at least 15 % of the cases, and at least 3, that the "
        "plan's attacks left correct",
        "the attacks had not converged: true robust accuracy is lower",
        "raise steps and restarts until no further case is misread",
        voids="robustness",
        probed=True,
        outline_remedy="raise steps and restarts until no further case is lost",
    ),
    FlagText(
        "one step as strong as many",
        "at one eps, an attack of a single step lowers the mean Dice by nine tenths or more of "
        "what the strongest attack of many steps does",
        "many steps should find more: they may be too few or too short, or their gradients may "
        "mislead; then the outlines are less robust than they look",
        "raise steps, try APGD, SegPGD and CosPGD, and look for masked gradients",
    ),
    FlagText(
        "another window in the attack",
        "the images of a transfer attack are made through another sliding window than the audited "
        "model is shown",
        "another function is attacked than is judged, so that the attack looks weaker than it is",
        "give the surrogate the same window, overlap and blend",
    ),
    FlagText(
        "input is rounded",
        "on at least 25 % of the probed cases, and at least 3, a change of a tenth of a grey level "
        "leaves every logit identical, and a larger change does not; or an endpoint takes bytes",
        "the model is a step function (quantisation, JPEG): its true gradient is zero, and small "
        "changes vanish that a file with more bits would carry",
        "audit the model without the rounding, or let gradients pass it as if it were not there: "
        '`straight_through` in `[model]`, such as `straight_through = ["round"]`',
        probed=True,
    ),
    FlagText(
        "labels in place of scores",
        "the model answers labels alone, or its scores on all images are 0 and 1",
        "an attack that follows scores (Square) sees no change until it has succeeded: it is "
        "blind, and the cases that it leaves correct show nothing",
        "run the decision-based attack, which needs labels alone (`queries` in `[scenarios]`), and "
        "the transfer attack (`surrogate`); audit the model behind the labels if you can",
        voids="robustness",
    ),
    FlagText(
        "scores of the best classes alone",
        "on every image the same number of classes has a score, and the others have 0",
        "a class without a score gives an attack on scores nothing to follow until it is among the "
        "best: true robust accuracy may be lower",
        "let the service give the scores of all classes; run the decision-based attack (`queries` "
        "in `[scenarios]`)",
        voids="robustness",
    ),
    FlagText(
        "scores are rounded",
        "all scores of clean images are numbers of at most 4 digits behind the point",
        "a step that changes the score by less than its last digit does not show: an attack on "
        "scores walks blindly there, and gradients vanish",
        "audit the model without the rounding; of a service, run the decision-based attack too "
        "(`queries` in `[scenarios]`), which needs no scores",
        voids="robustness",
    ),
    FlagText(
        "clipped outputs",
        "an output has the same extreme value (of probabilities one other than 0 and 1), to the "
        "last bit, on at least 5 % of the different images and at least 3",
        "beyond the clip the gradient is zero and ranks tie: attacks that follow it do not move",
        "audit the model without the part that bounds its outputs",
        voids="robustness",
    ),
    FlagText(
        "steps too short to cross the ball",
        "an attack with a random start has steps times step_size below 2 eps",
        "from one side of the ball to the other it is 2 eps: from a bad start the attack cannot "
        "reach all of it",
        "raise steps or step_size until their product is 2 or more, or start at the image",
    ),
    FlagText(
        "a column gives the label away",
        "a metadata column, or the group, predicts the label of held-out cases at least halfway "
        "from chance to certainty, significant at 1 % by permutation",
        "the images may show it (a device, a marker, a site), so that the model needs no sign of "
        "disease: its figures then hold only for data with the same confounding",
        "audit on cases where the column and the label are unrelated, or within one value of it",
    ),
    FlagText(
        "too few cases for the claim",
        "the interval of a worst-case robust accuracy is wider than 0.3, or a gate needs more "
        "groups than there are",
        "with so much uncertainty a claim can be neither supported nor ruled out",
        "audit more patients",
    ),
    FlagText(
        "broken files",
        "image files could not be read and were skipped",
        "the missing cases may be just those that the model finds hard",
        "fix the files and run again without --skip-broken",
    ),
    FlagText(
        "image files left out",
        "files with images were left out, because their format is not read or their suffix is none "
        "of an image",
        "the images left out may differ from the others: from another device, site or date",
        "save them as PNG, JPEG or TIFF, or take them out of the folders",
    ),
    FlagText(
        "images use a part of their range",
        "no image has a value above half of the range that its file has room for",
        "eps is a share of the range that is displayed: where files of 16 bits hold values of 12, "
        "a viewer shows a change 16 times as large, and robustness looks far too low",
        "say how many bits the values have (`depth = 12` in `[data]`), and give mean and std of "
        "images displayed so; for DICOM choose a window",
    ),
    FlagText(
        "no groups",
        "no patient or lesion column is given",
        "images of one patient resemble each other, so that intervals may be too narrow",
        "name the group column, if the patients are known",
    ),
    FlagText(
        "groups differ in spelling alone",
        "two groups differ in letter case, blanks, leading zeros, hyphens or Unicode forms alone",
        "one patient may then count as two: intervals are too narrow, and a patient may be in two "
        "splits",
        "write each patient in one way",
    ),
    FlagText(
        "groups finer than file names",
        "each image is a group of its own, though file names that differ at their end alone (left, "
        "right, a number) make at most three quarters as many",
        "images of one patient resemble each other, so that intervals may be too narrow",
        "check that the group is the patient and not the image; group_pattern takes it from the "
        "file name",
    ),
    FlagText(
        "few groups",
        "there are fewer than 30 groups",
        "a few patients cannot stand for all: intervals are wide, and what the others are like is "
        "not known",
        "audit at least 30 patients",
    ),
    FlagText(
        "missing class",
        "a class has no case",
        "accuracy says little, and AUC, sensitivity or specificity nothing, without every class",
        "audit a split that holds all classes",
    ),
    FlagText(
        "structures missing from masks",
        "a structure that counts is missing in more than 5 % of the masks",
        "where it is missing and nothing is predicted, its Dice is 0/0 and is left out of the "
        "mean; where something is predicted, it is 0: its figures stand for fewer cases",
        "look at `cases` and `invented` of the structure",
    ),
    FlagText(
        "gaps in masks",
        "a structure is missing in at most 5 % of the masks, and the model outlines it there",
        "it may have been forgotten when the masks were drawn: a right outline then has Dice 0",
        "look at these masks; mark what was not outlined with the value 255",
    ),
    FlagText(
        "few attacked images for detectors",
        "an attack has fewer than 30 successful images for detectors",
        "an AUC from so few images says little; such cells are marked and get no verdict",
        "audit more cases, or a larger eps",
    ),
    FlagText(
        "copies of images",
        "audited images show one picture (equal to the bit, or another exposure, a small shift, a "
        "file saved again), or one that detectors learn from",
        "a picture that is there twice is no second patient, and a detector knows one that it has "
        "learned from. Copies count as one group, and those in the reference are left out; but a "
        "model that was trained on copies of these images looks better than it is",
        "remove the copies from the data, and from all splits but one",
    ),
    FlagText(
        "probabilities instead of logits",
        "the model's outputs are probabilities, or every output that is read as a logit lies "
        "between 0 and 1 on at least 4 images",
        "probabilities round to 0 and 1: gradients vanish, ranks tie, attacks look weaker; read as "
        "logits, they put the threshold at the wrong place",
        "audit the model without its last softmax or sigmoid, or set head to probabilities",
    ),
    FlagText(
        "grey images in colour files",
        "an image has three equal channels",
        "the attacker may colour them, which would be noticed in a grey image: robustness looks "
        "too low",
        "set grey = true in [data]",
    ),
    FlagText(
        "cross-entropy saturates",
        "on at least 2 % of the cases under an attack, and at least 3, the probability of the true "
        "class is so near 1 that the gradient of cross-entropy has lost half its digits, and the "
        "attack leaves the case no nearer to a wrong class",
        "an attack on cross-entropy stops there and calls the case robust",
        "distrust this attack; use one that maximises the margin: those of this project do so "
        "where cross-entropy saturates, unless margin_fallback is off",
    ),
    FlagText(
        "the same attack twice",
        "two attacks of the plan take the same steps on this model",
        "with two classes cross-entropy and margin have parallel gradients: both results are one",
        "do not count them as independent evidence",
    ),
)

FLAG_TEXTS = {text.name: text for text in _TEXTS}
"""All warnings by name, the gravest first."""

OWN_WORDS = frozenset(words for text in _TEXTS for words in (text.why, text.remedy))
"""In these, what stands between backticks is code; elsewhere somebody may have put them there."""

FLAGS = tuple(FLAG_TEXTS)
"""Names of all warnings in the same order; gates name them."""


def voiding(flags: Iterable[Flag], what: Voided) -> Flag | None:
    """The gravest of these warnings that voids `what`; None where it stands."""
    least = _VOIDED.index(what)
    for flag in flags:
        text = FLAG_TEXTS.get(flag.name)
        if text is not None and _VOIDED.index(text.voids) >= least:
            return flag
    return None
