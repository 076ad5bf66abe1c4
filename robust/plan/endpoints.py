"""Addresses of inference endpoints: taken apart, checked, and shown without their secrets."""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit, urlunsplit

from robust.errors import InputError, excerpt

FORM = "http://HOST:PORT/v2/models/NAME/infer"
_PATH = re.compile(r"(?P<server>.*/v2)(?P<model>/models/[^/]+(?:/versions/[^/]+)?)/infer/?")
_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1")
_LOGIN = re.compile(r"://[^/\s]*@")
_HEADER = re.compile(r"(?P<name>[A-Za-z0-9-]+): (?P<value>.+)")


@dataclass(frozen=True)
class EndpointAddress:
    """Where a model is asked, and where its server says what it is."""

    infer: str
    """With user, password and query, as it was given."""
    model: str
    """The model's metadata; `/ready` behind its path asks whether it is ready."""
    server: str
    """The server's metadata."""
    ready: str
    shown: str
    """For messages and reports: without user, password and query."""
    loopback: bool
    """Whether it is this machine."""
    encrypted: bool
    login: bool
    """Whether it holds a user or a password."""
    secrets: tuple[str, ...] = field(repr=False)
    """What no message may show, whatever a server sends back."""


def parse_endpoint(url: str) -> EndpointAddress:
    """The parts of `http://HOST/v2/models/NAME/infer`; InputError for anything else."""
    parts, shown = _split(url), bare_endpoint(url)
    found = _PATH.fullmatch(parts.path)
    if parts.scheme not in ("http", "https") or not parts.hostname or found is None:
        raise InputError(
            f"endpoint {excerpt(shown, 200)} is not of the Open Inference Protocol v2: write {FORM}"
        )

    def at(path: str) -> str:
        return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))

    model = found["server"] + found["model"]
    return EndpointAddress(
        infer=at(f"{model}/infer"),
        model=at(model),
        server=at(found["server"]),
        ready=at(f"{model}/ready"),
        shown=shown,
        loopback=_LOOPBACK.fullmatch(parts.hostname) is not None,
        encrypted=parts.scheme == "https",
        login="@" in parts.netloc,
        secrets=_secrets(parts),
    )


def _secrets(parts: SplitResult) -> tuple[str, ...]:
    login = unquote(parts.netloc.rpartition("@")[0])
    basic = base64.b64encode(login.encode()).decode()
    values = (value for _, value in parse_qsl(parts.query))
    every = [parts.query, *values, *((login, parts.password or "", basic) if login else ())]
    return tuple(one for one in every if one)


def bare_endpoint(url: str) -> str:
    """The address without user, password, query and fragment."""
    try:
        parts = _split(url)
    except InputError:
        return "(no address)"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def shown_uri(text: str) -> str:
    """An address, or a message that holds some, without user and password."""
    return _LOGIN.sub("://", text)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  (raises where it is no number)
    except ValueError:
        raise InputError(f"endpoint is not an address; write {FORM}") from None
    return parts


def token_header(variable: str | None) -> dict[str, str]:
    """The header that an environment variable holds: a token, or a whole `Name: value`.

    InputError where it is empty or no header.
    """
    if variable is None:
        return {}
    text = os.environ.get(variable, "").strip()
    if not text:
        raise InputError(
            f"the environment variable {excerpt(variable)}, which endpoint_token_env names, is "
            f"empty; put the endpoint's token into it"
        )
    if not (text.isascii() and text.isprintable()):
        raise InputError(
            f"the environment variable {excerpt(variable)} holds no token: a header is one line "
            f"of plain characters"
        )
    header = _HEADER.fullmatch(text)
    return {header["name"]: header["value"]} if header else {"Authorization": f"Bearer {text}"}
