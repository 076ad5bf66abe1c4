"""Which modality has which effects of scanners, beside what MedMNIST-C defines for it."""

from __future__ import annotations

from collections.abc import Mapping

from robust.corruptions.contract import Corruption
from robust.corruptions.medmnist_c.digital.jpeg_compression import JPEGCompression
from robust.corruptions.medmnist_c.tables import SEVERITY_TABLES
from robust.corruptions.medmnist_c.task.bubble import Bubble
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

ARCHIVE: tuple[Corruption, ...] = (Resolution(), Jpeg2000())
"""What happens to images of every modality."""

# MedMNIST-C defines these of other modalities; here they stand where it leaves them out.
JPEG = JPEGCompression(
    "MedMNIST-C, octmnist, for MRI", SEVERITY_TABLES["octmnist"]["jpeg_compression"]
)
IMMERSION_BUBBLES = Bubble(
    "MedMNIST-C, pathmnist, for the immersion fluid of dermoscopy",
    SEVERITY_TABLES["pathmnist"]["bubble"],
)

SCANNER_EFFECTS: Mapping[str, tuple[Corruption, ...]] = {
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
        JPEG,
        *ARCHIVE,
    ),
    "ultrasound": (BiasField(), WindowShift(), GammaShift(), *ARCHIVE),
    "OCT": (BiasField(), WindowShift(), GammaShift(), *ARCHIVE),
    "fundus": (Vignetting(), BiasField(), GammaShift(), *ARCHIVE),
    "dermoscopy": (Hair(), IMMERSION_BUBBLES, Vignetting(), GammaShift(), *ARCHIVE),
    "pathology": (Vignetting(), GammaShift(), *ARCHIVE),
    "microscopy": (Vignetting(), BiasField(), GammaShift(), *ARCHIVE),
}
"""By modality, in the order in which they are shown."""
