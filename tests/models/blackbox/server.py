"""A real inference server on 127.0.0.1 (Open Inference Protocol v2), with switches for its faults."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

pytest.importorskip("httpx")
uvicorn = pytest.importorskip("uvicorn")
fastapi = pytest.importorskip("fastapi")

LENGTH = "Inference-Header-Content-Length"
TYPES = {"FP32": "<f4", "FP16": "<f2", "UINT8": "u1", "INT64": "<i8"}
Numbers = npt.NDArray[Any]


@dataclass
class Switches:
    """What the server does; a test may change it while the server runs."""

    datatype: str = "FP32"
    layout: str = "NCHW"
    batch: int = -1
    batched: bool = True
    channels: int = 1
    pixels: int = 28
    binary: bool = False
    softmax: bool = False
    digits: int | None = None
    top: int | None = None
    clip: float | None = None
    labels: str = ""
    """`INT64` or `BYTES`: labels alone; `one-hot`: labels in place of scores; `classification`."""
    random: float = 0.0
    """Standard deviation of noise on the scores."""
    busy_every: int = 0
    """Every so many requests 503 comes first."""
    seconds: float = 0.0
    dies_after: int | None = None
    """After so many answers it ends without another word."""
    wrong: str = ""
    """`rows`, `nan`, `error`, `400`, `500`, `text`, `version`, `outputs`."""
    redirect: str = ""
    token: str = ""
    """Header `Authorization` that every request needs."""
    ready: bool = True
    outputs: tuple[str, ...] = ("scores",)


@dataclass
class Served:
    """A running server and what it has seen."""

    switches: Switches
    port: int = 0
    answered: int = 0
    """Images that it has answered."""
    requests: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)
    images: list[Numbers] = field(default_factory=list)
    """The tensors of the first requests, as they arrived."""
    die: Callable[[], None] = lambda: None
    """Closes the port and every connection at once; called by the server itself."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v2/models/x/infer"


def _scores(model: nn.Module, x: Numbers, s: Switches) -> Numbers:
    if s.layout == "NHWC":
        x = x.transpose(0, 3, 1, 2)
    images = torch.from_numpy(np.ascontiguousarray(x).astype(np.float32))
    with torch.no_grad():
        out = model(images / 255 if s.datatype == "UINT8" else images)
        out = out + s.random * torch.randn_like(out)
        out = out.softmax(1) if s.softmax else out
    if s.clip is not None:
        out = out.clamp(s.clip, 1 - s.clip)
    if s.digits is not None:
        out = torch.round(out, decimals=s.digits)
    if s.top is not None:
        kept = out.topk(s.top, 1)
        out = torch.zeros_like(out).scatter(1, kept.indices, kept.values)
    if s.labels == "one-hot":
        out = nn.functional.one_hot(out.argmax(1), out.shape[1]).float()
    found: Numbers = out.numpy()
    return found


def _output(out: Numbers, s: Switches) -> dict[str, Any]:
    if s.labels == "INT64":
        return {"datatype": "INT64", "shape": [len(out)], "data": out.argmax(1).tolist()}
    if s.labels == "BYTES":
        names = [("healthy", "ill")[i] for i in out.argmax(1)]
        return {"datatype": "BYTES", "shape": [len(out)], "data": names}
    if s.labels == "classification":
        best = [f"{row.max():.6f}:{row.argmax()}:name" for row in out]
        return {"datatype": "BYTES", "shape": [len(out), 1], "data": best}
    rows = out[:-1] if s.wrong == "rows" else out
    if s.wrong == "nan":
        rows = rows.copy()
        rows[0] = np.nan
    shape = list(rows.shape) if s.batched else list(rows.shape[1:])
    return {"datatype": "FP32", "shape": shape, "data": rows.ravel().tolist()}


def make_app(model: nn.Module, served: Served) -> Any:
    app, s = fastapi.FastAPI(), served.switches
    Response = fastapi.Response

    def plain(content: Any, status: int = 200) -> Any:
        return Response(json.dumps(content), status, media_type="application/json")

    @app.middleware("http")
    async def guard(request: Any, go: Any) -> Any:
        served.headers.append(dict(request.headers))
        if s.token and request.headers.get("authorization") != s.token:
            return plain({"error": f"no access for {request.headers.get('authorization')}"}, 401)
        if s.redirect:
            return Response(status_code=307, headers={"location": s.redirect + request.url.path})
        return await go(request)

    @app.get("/v2")
    def server() -> Any:
        return {"name": "toy", "extensions": ["binary_tensor_data"] if s.binary else []}

    @app.get("/v2/models/x/ready")
    def ready() -> Any:
        return plain({}, 200 if s.ready else 400)

    @app.get("/v2/models/x")
    def metadata() -> Any:
        image = [s.channels, s.pixels, s.pixels]
        image = [*image[1:], image[0]] if s.layout == "NHWC" else image
        kind = {"": "FP32", "one-hot": "FP32", "classification": "BYTES"}.get(s.labels, s.labels)
        shape = [-1] if kind in ("INT64", "BYTES") and s.labels != "classification" else [-1, 2]
        return {
            "name": "x",
            "versions": ["1"],
            "platform": "toy",
            "inputs": [
                {
                    "name": "image",
                    "datatype": s.datatype,
                    "shape": [s.batch, *image] if s.batched else image,
                }
            ],
            "outputs": [{"name": n, "datatype": kind, "shape": shape} for n in s.outputs],
        }

    async def infer(request: Any) -> Any:
        served.requests += 1
        if s.busy_every and served.requests % s.busy_every == 0:
            return plain({"error": "busy"}, 503)
        if s.dies_after is not None and served.requests > s.dies_after:
            served.die()
            return Response()  # to nobody
        if s.seconds:
            time.sleep(s.seconds)
        body = await request.body()
        length = request.headers.get(LENGTH.lower())
        end = len(body) if length is None else int(length)
        asked = json.loads(body[:end])
        tensor = asked["inputs"][0]
        if length is None:
            x = np.asarray(tensor["data"], TYPES[tensor["datatype"]])
        else:
            x = np.frombuffer(body[end:], TYPES[tensor["datatype"]])
        x = x.reshape(tensor["shape"])
        if len(served.images) < 8:
            served.images.append(x)
        if s.wrong in ("400", "500"):
            return plain({"error": "no such shape"}, int(s.wrong))
        if s.wrong == "error":
            return plain({"error": "the model ran out of memory"})
        if s.wrong == "text":
            return Response("<html>hello</html>")
        out = _scores(model, x if s.batched else x[None], s)
        served.answered += len(out)
        answer = {"name": asked["outputs"][0]["name"], **_output(out, s)}
        version = str(1 + served.requests // 3) if s.wrong == "version" else "1"
        content: dict[str, Any] = {"model_name": "x", "model_version": version}
        if s.wrong == "outputs":
            return plain({**content, "outputs": []})
        if length is not None and answer["datatype"] == "FP32":
            data = np.asarray(answer.pop("data"), "<f4").tobytes()
            answer["parameters"] = {"binary_data_size": len(data)}
            header = json.dumps({**content, "outputs": [answer]}).encode()
            return Response(header + data, headers={LENGTH: str(len(header))})
        return plain({**content, "outputs": [answer]})

    app.add_route("/v2/models/x/infer", infer, methods=["POST"])
    return app


@contextmanager
def serving(model: nn.Module, port: int = 0, **switches: Any) -> Iterator[Served]:
    """A server of a two-class model on a free port of this machine, until the block ends."""
    served = Served(Switches(**switches))
    model = model.eval()
    app = make_app(model, served)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_level="critical", lifespan="off", loop="asyncio"
    )
    server = uvicorn.Server(config)

    def stop() -> None:
        server.should_exit = server.force_exit = True

    def die() -> None:
        for one in server.servers:
            one.close()
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        stop()

    served.die = die
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < end and thread.is_alive()
        time.sleep(0.005)
    served.port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        stop()
        thread.join(10)
