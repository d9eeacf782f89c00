"""Credentials of a config: in no message, and in no file that others may read."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from gta.errors import GtaError
from gta.study import Study
from gta.study.credentials import private_path, write_config
from gta.study.yaml_files import quoted

SECRETS = ("hunter2", "t0ken")


def with_source(config: dict[str, Any], url: str) -> dict[str, Any]:
    own = {"title": "S", "architecture": "vit_mini_patch8", "url": url}
    sources = {**config["sources"], "main": "s"}
    return {**config, "own_sources": {"s": own}, "sources": sources}


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://me:hunter2@host.org/w.pth", "https://host.org/w.pth"),
        ("https://me:hun@ter2:hunter2@host.org:80/w.pth", "https://host.org:80/w.pth"),
        ("https://host.org/w.pth?X-Amz-Signature=t0ken", "https://host.org/w.pth"),
        ("https://host.org/w.pth?download=true", "https://host.org/w.pth?download=true"),
    ],
)
def test_jobs_read_them_from_a_file_of_their_owner_alone(
    tiny_config: dict[str, Any], workdir: Path, url: str, public: str
) -> None:
    study = Study(with_source(tiny_config, url))
    path = study.folder / "config.yaml"
    write_config(study, path)
    written = path.read_text(encoding="utf-8")
    assert yaml.safe_load(written)["own_sources"]["s"]["url"] == public
    assert not any(secret in written for secret in SECRETS)
    again = Study.load([path])
    assert again.content["own_sources"]["s"]["url"] == url
    assert again.weights("s") == study.weights("s")
    private = private_path(path)
    if url == public:
        assert not private.exists()
        return
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.stat().st_mode) & 0o044
    private.chmod(0)
    private.unlink()  # as for a user who may not read it
    assert Study.load([path]).content["own_sources"]["s"]["url"] == public
    write_config(Study(with_source(tiny_config, public)), path)
    assert not private.exists()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://me:hunter2@host.org/w.pth",
        f"ftp://me:{'x' * 80}hunter2@host.org/w.pth",
        "https://me:a@b:hunter2@host.org",
        "ftp://host.org/w.pth?token=t0ken",
    ],
)
def test_no_message_shows_them(tiny_config: dict[str, Any], workdir: Path, url: str) -> None:
    with pytest.raises(GtaError) as raised:
        Study(with_source(tiny_config, url))
    assert "own_sources.s.url" in str(raised.value)
    assert not any(secret in str(raised.value) for secret in (*SECRETS, "xxx"))
    Path("bad.yaml").write_text(f"a: [{{url: '{url}', b\n", encoding="utf-8")
    with pytest.raises(GtaError) as raised:
        Study.load(["bad.yaml"])
    assert not any(secret in str(raised.value) for secret in (*SECRETS, "xxx"))
    assert "xxx" not in quoted(url)
