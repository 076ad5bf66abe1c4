"""HTTP with an inference server: timeouts, retries with backoff, no redirect to another host."""

from __future__ import annotations

import json
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from robust.errors import BlackBoxFailure, InputError, excerpt, first_line
from robust.plan.endpoints import EndpointAddress

TRIED_AGAIN = (429, 502, 503, 504)
"""Answers of a server that is busy or not there for the moment."""
FIRST_WAIT, LONGEST_WAIT = 0.1, 15.0
"""Seconds before the first further try, which double up to the longest."""
MOST_BYTES = 256 << 20
"""Of an answer."""
MOST_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
_KEEP_METHOD = (307, 308)


@dataclass(frozen=True)
class Reply:
    """One answer of a server, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON, or None where it is something else."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class Connection:
    """Connections with one server, open until nothing refers to this object."""

    def __init__(
        self,
        address: EndpointAddress,
        headers: Mapping[str, str],
        *,
        timeout: float,
        patience: float,
    ) -> None:
        """`headers` go with every request.

        A request may take `timeout` seconds; where it fails, it is sent again for `patience`
        seconds. A server on this machine is asked past any proxy. InputError without httpx.
        """
        try:
            import httpx
        except ImportError:
            raise InputError(
                "[model] endpoint needs httpx: pip install 'robust-audit[endpoint]'"
            ) from None
        self._httpx = httpx
        self._client = httpx.Client(
            timeout=timeout, trust_env=not address.loopback, follow_redirects=False
        )
        weakref.finalize(self, self._client.close)
        self._headers = dict(headers)
        self._shown, self._timeout, self._patience = address.shown, timeout, patience
        tokens = [part for value in headers.values() for part in (value, value.rpartition(" ")[2])]
        self._secrets = (*tokens, *address.secrets)

    def get(self, url: str) -> Reply:
        """The answer to a GET request; BlackBoxFailure where there is none."""
        return self._send("GET", url, None, {})

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """The answer to a POST request; BlackBoxFailure where there is none."""
        return self._send("POST", url, body, headers)

    def without_secrets(self, text: object) -> str:
        """Text of a server for a message: one that echoes a header must not show it."""
        shown = str(text)
        for secret in self._secrets:
            shown = shown.replace(secret, "***")
        return excerpt(shown, 300)

    def _send(self, method: str, url: str, body: bytes | None, extra: Mapping[str, str]) -> Reply:
        """Try until there is an answer, or until patience ends."""
        end, wait, tries = time.monotonic() + self._patience, FIRST_WAIT, 0
        while True:
            tries += 1
            try:
                reply = self._redirected(method, url, body, extra)
                if reply.status not in TRIED_AGAIN:
                    return reply
                reason, asked = f"status {reply.status}", _retry_after(reply)
            except self._httpx.TransportError as error:
                reason, asked = self._reason(error), 0.0
            pause = max(wait, asked)
            if time.monotonic() + pause > end:
                raise BlackBoxFailure(
                    f"the endpoint {self._shown} does not answer ({tries} "
                    f"{'try' if tries == 1 else 'tries'}, the last: {reason}); check the address "
                    f"and the server, then give the same command, which continues what has begun"
                )
            time.sleep(pause)
            wait = min(2 * wait, LONGEST_WAIT)

    def _redirected(
        self, method: str, url: str, body: bytes | None, extra: Mapping[str, str]
    ) -> Reply:
        """The answer behind redirects on the same server."""
        for _ in range(MOST_REDIRECTS + 1):
            reply = self._once(method, url, body, extra)
            if reply.status not in _REDIRECTS:
                return reply
            target = urljoin(url, reply.headers.get("location", ""))
            if _origin(target) != _origin(url):
                host = urlsplit(target).hostname or "nowhere"
                raise BlackBoxFailure(
                    f"the endpoint {self._shown} redirects to another server ({excerpt(host)}): "
                    f"refused, since images and token would go there; name its own address"
                )
            if method == "POST" and reply.status not in _KEEP_METHOD:
                break
            url = target
        raise BlackBoxFailure(
            f"the endpoint {self._shown} redirects its requests; name the address behind it"
        )

    def _once(self, method: str, url: str, body: bytes | None, extra: Mapping[str, str]) -> Reply:
        late = time.monotonic() + self._timeout
        headers = {**self._headers, **extra}
        with self._client.stream(method, url, content=body, headers=headers) as response:
            content = bytearray()
            for part in response.iter_bytes():
                content += part
                if len(content) > MOST_BYTES:
                    raise BlackBoxFailure(
                        f"the endpoint {self._shown} answers more than {MOST_BYTES >> 20} MiB; "
                        f"check the address"
                    )
                if time.monotonic() > late:  # of httpx each part may take so long
                    raise self._httpx.ReadTimeout("the answer is not complete in time")
            return Reply(response.status_code, response.headers, bytes(content))

    def _reason(self, error: Exception) -> str:
        """Why there was no answer: of a timeout the seconds, else what httpx says."""
        if isinstance(error, self._httpx.TimeoutException):
            return f"no answer within {self._timeout:g} s"
        line = self.without_secrets(first_line(error))
        if "CERTIFICATE_VERIFY_FAILED" in line:
            return f"{line}; SSL_CERT_FILE may name the certificates of your own authority"
        return line


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    return parts.scheme, parts.hostname, port or {"http": 80, "https": 443}.get(parts.scheme)


def _retry_after(reply: Reply) -> float:
    """Seconds that a busy server asks to be left alone."""
    text = reply.headers.get("retry-after", "")
    return float(text) if text.isdigit() and len(text) < 6 else 0.0
