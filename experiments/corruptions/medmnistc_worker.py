"""Answers requests with the package medmnistc; runs in an environment of its own, without robust.

Each line of standard input is a JSON object: `set`, `kind`, `severity` from 1, `images` (path of a
uint8 array `(n, h, w)` or `(n, h, w, 3)`), `seed`, `repeats`, `out`. The corrupted images are
stored under `out`; the answer is a JSON object with the seconds of each repeat, from the stored
images to tensors in [0, 1].
"""

import json
import random
import sys
import time
import warnings

import cv2
import numpy as np
import torch
from medmnistc.corruptions.filter import MotionImage
from medmnistc.corruptions.registry import CORRUPTIONS_DS
from PIL import Image

warnings.simplefilter("ignore")
torch.set_num_threads(1)


def corrupted(corruption, kind, severity, pixels):
    """As the package makes its data sets: in colour, then grey again."""
    image = Image.fromarray(pixels).convert("RGB")
    before = np.random.get_state()
    try:
        done = corruption.apply(image, severity - 1)
    except IndexError:
        done = np.empty(0)
    if kind == "motion_blur" and done.shape != np.asarray(image).shape:
        # Of grey images other than 224 px it reads ImageMagick's grey answer as three columns.
        np.random.set_state(before)
        motion = MotionImage(blob=cv2.imencode(".png", np.asarray(image)[..., ::-1])[1].tobytes())
        radius, sigma = corruption.severity_params[severity - 1]
        motion.motion_blur(radius=radius, sigma=sigma, angle=np.random.uniform(-45, 45))
        done = cv2.imdecode(np.frombuffer(motion.make_blob("png"), np.uint8), cv2.IMREAD_COLOR)
        done = np.ascontiguousarray(done[..., ::-1])
    return done if pixels.ndim == 3 else np.asarray(Image.fromarray(done).convert("L"))


def answer(request):
    images = np.load(request["images"])
    kind, severity = request["kind"], request["severity"]
    corruption = CORRUPTIONS_DS[request["set"]][kind]
    corruption.rng = np.random.default_rng(request["seed"])
    seconds = []
    for _ in range(request["repeats"]):
        random.seed(request["seed"])
        np.random.seed(request["seed"])
        start = time.perf_counter()
        done = []
        for pixels in images:
            done.append(corrupted(corruption, kind, severity, pixels))
            layers = np.atleast_3d(done[-1]).transpose(2, 0, 1)
            torch.from_numpy(np.ascontiguousarray(layers)).float().div_(255)
        seconds.append(time.perf_counter() - start)
    np.save(request["out"], np.stack(done))
    return {"seconds": seconds}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
