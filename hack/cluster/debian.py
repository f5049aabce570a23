"""What this machine knows about its package mirrors, so that image builds can use the same."""

import configparser
import os
import re
import subprocess
from pathlib import Path

from hack.cluster.errors import ClusterError

SOURCES = Path("/etc/apt")
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
# Options that a build on this machine needs as much as the machine itself: proxies, clocks of frozen mirrors.
APT_OPTIONS = re.compile(r"^Acquire::(http|https)::|^Acquire::Check-(Valid-Until|Date) ")
PIP_OPTIONS = ("index-url", "extra-index-url", "trusted-host")


def find_mirror(suite: str, sources: Path = SOURCES) -> str:
    """Return the URL of the Debian mirror that apt uses for `suite` on this machine.

    MODELSERVICE_DEBIAN_MIRROR overrides it, and is needed where the machine is no Debian of that suite.
    """
    if override := os.environ.get("MODELSERVICE_DEBIAN_MIRROR"):
        return override
    for path in sorted([sources / "sources.list", *sources.glob("sources.list.d/*")]):
        if path.is_file() and (mirror := parse_mirror(path.read_text(), suite)):
            return mirror
    raise ClusterError(
        f"no Debian mirror of {suite} in {sources}: set MODELSERVICE_DEBIAN_MIRROR to the URL of one, "
        "or give a base image with --base-image"
    )


def parse_mirror(text: str, suite: str) -> str:
    """Return the first mirror of `suite` in a sources file, one-line or deb822 (sources.list(5)), or ''."""
    for line in text.splitlines():
        if match := re.match(rf"deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+{re.escape(suite)}/?\s", line):
            return match[1]
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
        enabled = fields.get("Enabled", "yes") != "no" and "deb" in fields.get("Types", "").split()
        if enabled and suite in fields.get("Suites", "").split():
            return str(fields["URIs"].split()[0])
    return ""


def apt_configuration() -> str:
    """Return the machine's download options of apt as lines of an apt.conf file."""
    output = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return "".join(f"{line}\n" for line in output.splitlines() if APT_OPTIONS.match(line))


def pip_configuration(machine: Path = Path("/etc/pip.conf")) -> str:
    """Return a pip.conf with the machine's certificates and package index."""
    known = configparser.ConfigParser(interpolation=None)
    known.read(machine)
    options = {"cert": str(CA_BUNDLE)}
    for option in PIP_OPTIONS:
        variable = f"PIP_{option.upper().replace('-', '_')}"
        if value := os.environ.get(variable) or known.get("global", option, fallback=""):
            options[option] = value
    return "[global]\n" + "".join(f"{option} = {value}\n" for option, value in options.items())
