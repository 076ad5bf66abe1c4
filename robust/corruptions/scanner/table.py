"""Which modality has which effects of scanners, beside what MedMNIST-C defines for it."""

from __future__ import annotations

from types import MappingProxyType

from robust.corruptions.scanner.bias_field import BiasField
from robust.corruptions.scanner.ct_noise import LowDoseCT
from robust.corruptions.scanner.exposure_motion import ExposureMotion
from robust.corruptions.scanner.gamma import GammaShift
from robust.corruptions.scanner.hair import Hair
from robust.corruptions.scanner.jpeg2000 import Jpeg2000
from robust.corruptions.scanner.kspace.ghosting import Ghosting
from robust.corruptions.scanner.kspace.gibbs_ringing import GibbsRinging
from robust.corruptions.scanner.kspace.patient_motion import PatientMotion
from robust.corruptions.scanner.kspace.spike import KSpaceSpike
from robust.corruptions.scanner.low_dose import LowDose
from robust.corruptions.scanner.resolution import Resolution
from robust.corruptions.scanner.rician_noise import RicianNoise
from robust.corruptions.scanner.vignetting import Vignetting
from robust.corruptions.scanner.window_shift import WindowShift

ARCHIVE = (Resolution(), Jpeg2000())
"""What happens to images of every modality."""

SCANNER_EFFECTS = MappingProxyType(
    {
        "chest X-ray": (ExposureMotion(), LowDose(), WindowShift(), *ARCHIVE),
        "CT": (ExposureMotion(), LowDoseCT(), WindowShift(), *ARCHIVE),
        "MRI": (
            PatientMotion(),
            Ghosting(),
            GibbsRinging(),
            KSpaceSpike(),
            BiasField(),
            RicianNoise(),
            WindowShift(),
            GammaShift(),
            *ARCHIVE,
        ),
        "ultrasound": (BiasField(), WindowShift(), GammaShift(), *ARCHIVE),
        "OCT": (BiasField(), WindowShift(), GammaShift(), *ARCHIVE),
        "fundus": (Vignetting(), BiasField(), GammaShift(), *ARCHIVE),
        "dermoscopy": (Hair(), Vignetting(), GammaShift(), *ARCHIVE),
        "pathology": (Vignetting(), GammaShift(), *ARCHIVE),
        "microscopy": (Vignetting(), BiasField(), GammaShift(), *ARCHIVE),
    }
)
"""By modality, in the order in which they are shown."""
