"""ROC curves, histograms and maps agree with the metrics of the same detectors."""

from __future__ import annotations

import numpy as np
import pytest

from robust.records import Detection


def test_curves_and_bins_tell_the_same_as_the_figures(found: Detection) -> None:
    assert [trace.detector for trace in found.score_curves] == list(found.detectors)
    assert found.key_attack is not None
    for trace in found.score_curves:
        sighting = found.score(trace.detector, found.key_attack)
        assert sighting is not None and sighting.auc is not None
        for curve, area in ((trace.roc, sighting.auc), (trace.paired_roc, sighting.paired_auc)):
            x, y = np.array(curve).T
            assert (np.diff(x) >= 0).all() and (x[0], y[0]) == (0, 0) and (x[-1], y[-1]) == (1, 1)
            assert area and float(np.trapezoid(y, x)) == pytest.approx(area.value, abs=0.03)
        assert sum(trace.clean_fallen) == sum(trace.attacked)
        assert sum(trace.clean) == found.cases
        assert sum(trace.attacked) == found.image_sets[found.key_attack].cases
        assert sum(trace.noise) == found.cases
    assert found.feature_maps and all(len(s.clean) == len(s.attacked) for s in found.feature_maps)
