"""Where `propsync sandbox` listens, and what it lets in: the JSON it printed and the configuration that JSON names."""

import json
import os
import pathlib
import re

CONTACTS = int(os.environ["SANDBOX_CONTACTS"])
_PRINTED = json.loads(pathlib.Path(os.environ["SANDBOX_JSON"]).read_text())["result"]
_CONFIG = pathlib.Path(_PRINTED["config"]).read_text()


def url(upstream):
    """Where a look-alike listens: http://127.0.0.1:PORT."""
    return next(listener["base_url"] for listener in _PRINTED["upstreams"] if listener["name"] == upstream)


def login(source):
    """What the configuration has in `auth` for a source: kind, client_id, client_secret, token, …"""
    section = _CONFIG.split(f"[sources.{source}]")[1]
    line = re.search(r"^auth = .*$", section, re.MULTILINE)
    return dict(re.findall(r'(\w+) = "([^"]*)"', line.group()))


def oauth(upstream):
    """The client_id, client_secret and first refresh_token that an upstream's OAuth knows, which stand in the sources
    of its look-alike."""
    sources = (pathlib.Path(os.environ["SANDBOX_SOURCES"]) / upstream).rglob("*.rs")
    known = r'const (CLIENT_ID|CLIENT_SECRET|REFRESH_TOKEN): &str = "([^"]+)"'
    return {name.lower(): value for file in sources for name, value in re.findall(known, file.read_text())}
