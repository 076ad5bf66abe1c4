"""Which classes are findings, told by their names: `NORMAL` is the absence of one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_ABSENCE = """
absence absent background benign bg clean clear control controls ctrl false good health healthy
intact naevi naevus neg negative nevi nevus nil nl nofinding nofindings none norm normal normals
null nv ok unaffected undiseased uninfected unremarkable well wnl
"""
_PRESENCE = """
abnormal abnormality affected cancer cancerous carcinoma cardiomegaly cataract covid covid19 disease
diseased dr edema effusion finding findings fracture fractured glaucoma haemorrhage hemorrhage ill
infected infection lesion malignancy malignant mass mel melanoma metastasis nodule oedema opacity
parasitized pathologic pathological pathology pneumonia pneumothorax pos positive present referable
retinopathy sick stroke tb true tuberculosis tumor tumour yes
"""
ABSENCE = frozenset(_ABSENCE.split())
"""Words for the absence of a finding, in small letters."""
PRESENCE = frozenset(_PRESENCE.split())
"""Words for a finding."""
NEVI = frozenset(("naevi", "naevus", "nevi", "nevus", "nv"))
"""One harmless lesion of several; the absence of a finding where there is one other class."""
NEGATIONS = frozenset(("n", "no", "non", "not", "un", "without", "wo"))
_SIGNS = re.compile(r"[^a-z0-9]+")


def finding_of_two(names: Sequence[str], *, in_order: bool) -> int | None:
    """The index of the finding among two classes whose findings nobody named; None if unknown.

    Their names tell it where one is a word for the absence of a finding, or one alone is a word for
    a finding. Else it is the second where their order means something (`in_order`: numbers, or the
    order in which the user named them), never by the alphabet.
    """
    for telling in (_is_absence, lambda name: not _is_presence(name)):
        absent = [telling(name) for name in names]
        if absent.count(True) == 1:
            return absent.index(False)
    return 1 if in_order else None


def absence_among(names: Sequence[str]) -> int | None:
    """The index of the one class whose name says that nothing was found; None without one.

    Of two classes it is the other one than `finding_of_two` tells.
    """
    if len(names) == 2:
        finding = finding_of_two(names, in_order=False)
        return None if finding is None else 1 - finding
    absent = [
        i for i, name in enumerate(names) if _is_absence(name) and NEVI.isdisjoint(_words(name))
    ]
    return absent[0] if len(absent) == 1 else None


def finding_notice(names: Sequence[str], findings: Sequence[int]) -> str:
    """What to say of two classes whose findings nobody named; empty where it is the second."""
    first, second = map(repr, names)
    if not findings:
        return (
            f"nothing says which class is the finding, {first} or {second}, so there is no "
            f"sensitivity and no specificity: name it, --findings or findings in [data]"
        )
    if list(findings) == [0]:
        return (
            f"the finding is {first}, not {second}, as their names say; if not, name it: "
            f"--findings or findings in [data]"
        )
    return ""


def _is_absence(name: str) -> bool:
    words = _words(name)
    if words in (["0"], ["no"], ["n"]):
        return True
    joined = "".join(words)
    negated = words[0] in NEGATIONS or any(
        joined == no + one for no in ("no", "non") for one in PRESENCE
    )
    return negated != any(word in ABSENCE for word in words)


def _is_presence(name: str) -> bool:
    words = _words(name)
    return words == ["1"] or any(word in PRESENCE for word in words)


def _words(name: str) -> list[str]:
    """In small letters, without accents; `CamelCase` and `No_DR` are two words each."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", plain)
    return [word for word in _SIGNS.split(apart.lower()) if word] or [""]
