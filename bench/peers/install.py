"""Installing what is missing, through the machine's own package tools; each function returns the reason when it cannot."""

import importlib.util
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

CACHE: Final = Path(__file__).resolve().parent.parent / ".cache"  # ignored by git
PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin"
LIMIT_S: Final = 300
_updated = False


def find(program: str) -> str | None:
    """Where a program is; Debian puts servers where not everybody looks."""
    return shutil.which(program, path=PATH)


def output_of(*words: str) -> str:
    """What a command prints, or nothing when it fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout or done.stderr).strip()


def apt(package: str, program: str) -> str | None:
    """Install a Debian package for one of its programs."""
    global _updated  # noqa: PLW0603  once per run
    if find(program):
        return None
    if not find("apt-get") or os.geteuid() != 0:
        return f"not installed, and only root can: apt-get install {package}"
    if not _updated:
        _run("apt-get", "update", "-q")
        _updated = True
    failed = _run("apt-get", "install", "-y", "-q", "--no-install-recommends", package)
    return failed or (None if find(program) else f"{package} is installed but has no {program}")


def pip(package: str, module: str) -> str | None:
    """Install a package from PyPI into this environment, as a wheel."""
    if importlib.util.find_spec(module):
        return None
    failed = _run(
        sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary", ":all:", package
    )
    importlib.invalidate_caches()
    return failed or (None if importlib.util.find_spec(module) else f"{package} is installed but has no {module}")


def npm(package: str, name: str) -> str | None:
    """Install a package from npm into the bench's cache."""
    if (CACHE / "node_modules" / name / "package.json").exists():
        return None
    if not find("npm") or not find("node"):
        return "node and npm are not installed"
    CACHE.mkdir(exist_ok=True)
    failed = _run("npm", "install", "--prefix", str(CACHE), "--no-audit", "--no-fund", package)
    return failed or (None if (CACHE / "node_modules" / name).exists() else f"npm did not install {package}")


def pip_version(package: str) -> str:
    """Version of an installed Python package."""
    return metadata.version(package)


def _run(*words: str) -> str | None:
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=LIMIT_S, check=False,
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"{' '.join(words[:2])} took more than {LIMIT_S} s"
    if done.returncode == 0:
        return None
    lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("E:", "ERROR", "npm error", "npm ERR"))] or lines
    return f"cannot be installed: {telling[0] if telling else 'no reason given'}"
