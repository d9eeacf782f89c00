"""Credentials in the addresses of a config, kept out of the copy that results hold.

Everybody who may read a study's results may read its ``config.yaml``. User names, passwords and
tokens of ``own_sources.<name>.url`` go to a hidden file beside it that its owner alone may read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import yaml

from gta.files import write_text

if TYPE_CHECKING:
    from gta.study import Study

_SECRET = re.compile(r"token|key|sig|secret|pass|auth|cred", re.IGNORECASE)  # in a query's names


def write_config(study: Study, path: Path) -> None:
    """Write a study's merged config for its jobs, without credentials.

    Raises:
        GtaError: it cannot be written.
    """
    content = study.content_for(path)
    public = without_credentials(content)
    secret = {
        name: own["url"] for name, own in _sources(content).items() if own != _sources(public)[name]
    }
    private = private_path(path)
    if secret:
        write_text(private, json.dumps(secret, indent=1) + "\n", mode=0o600)
    else:
        private.unlink(missing_ok=True)
    write_text(path, as_yaml(public))


def as_yaml(content: Mapping[str, Any]) -> str:
    """A config as YAML, without credentials."""
    return yaml.safe_dump(without_credentials(content), sort_keys=False, allow_unicode=True)


def without_credentials(content: Mapping[str, Any]) -> dict[str, Any]:
    """A config whose addresses hold neither user, password nor token."""
    own = {name: {**one, "url": _public(one["url"])} for name, one in _sources(content).items()}
    given = content.get("own_sources")
    return {**content, "own_sources": {**given, **own}} if own and given else dict(content)


def with_credentials(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """A config read from ``path``, with the credentials kept beside it, if this user has them."""
    try:
        secret = json.loads(private_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return content
    own = {
        name: {**one, "url": secret[name]}
        for name, one in _sources(content).items()
        if isinstance(secret, dict)
        and isinstance(secret.get(name), str)
        and _public(secret[name]) == one["url"]
    }
    return {**content, "own_sources": {**content["own_sources"], **own}} if own else content


def private_path(path: Path) -> Path:
    """Path of a config's credentials."""
    return path.with_name(f".{path.name}.private")


def _sources(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The sources that an unchecked config gives an address, by name."""
    given = content.get("own_sources")
    return {
        name: dict(one)
        for name, one in (given.items() if isinstance(given, Mapping) else ())
        if isinstance(one, Mapping) and isinstance(one.get("url"), str)
    }


def _public(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    query = "" if any(_SECRET.search(name) for name, _ in parse_qsl(parts.query)) else parts.query
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query))
