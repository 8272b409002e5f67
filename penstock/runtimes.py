"""The kinds of function runtime: what a package's model is, and the program that serves it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from penstock import java
from penstock.errors import PenstockError

Kind = Literal["onnx", "mleap"]

_MODULE = "penstock_function"
_CHECKOUT = Path(__file__).resolve().parents[1]
#: The runtime in Java, where `make` builds it.
JAR: Final = Path("var/function-mleap/app/penstock-function.jar")
#: Quick to start and small rather than fast for hours: half of what a function may have is left for what is not heap.
#: images/Dockerfile has the same.
_JVM = ("-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError")


def command(
    kind: Kind,
    package: Path | None,
    *,
    memory_bytes: int,
    spool: Path | None = None,
    libraries: Sequence[Path] = (),
    port: int = 0,
) -> list[str]:
    """What serves the package in folder `package`, of that kind, on a port of loopback, 0 for a free one; None: no package yet.

    It says the port on stdout in a line of JSON once it is ready, and on stderr the `reason` why it is not. A package that
    asks for a prediction log has it in the folder `spool`, one with steps has their libraries in the folders `libraries`;
    those of the kind mleap never do. `memory_bytes` is what the process may have.

    Raises PenstockError where the runtime, or the Java that it needs, is not there.
    """
    given = [] if package is None else ["--package", str(package)]
    serving = [*given, "--port", str(port), "--bind", "127.0.0.1"]
    if kind == "onnx":
        logging = [] if spool is None else ["--log", str(spool)]
        extra = [f"--libraries={folder}" for folder in libraries]
        return [sys.executable, "-P", "-m", _MODULE, *serving, *logging, *extra]
    program = str(jar(_CHECKOUT))
    return [*jvm(memory_bytes), "-jar", program, *serving]


def jvm(memory_bytes: int) -> list[str]:
    """The JVM of a runtime that may have so much memory. Raises PenstockError where there is no Java."""
    # A JVM does not look at TMPDIR, and where a container's root file system is read-only /tmp is of no use.
    here = [f"-Xmx{memory_bytes // 2}", f"-Djava.io.tmpdir={tempfile.gettempdir()}"]
    return [str(java.home() / "bin" / "java"), *_JVM, *here]


def jar(root: Path) -> Path:
    """The runtime in Java of the project at `root`. Raises PenstockError where nobody has built it."""
    path = root / JAR
    if not path.is_file():
        raise PenstockError(
            f"the runtime of functions of the kind mleap is not there: {path}",
            next_step=f"build it with `make {JAR}`, which needs a JDK 17 and Maven; and then images anew, if this is one",
        )
    return path


def is_one(command: Sequence[str]) -> bool:
    """Whether a process with that command line is a runtime."""
    return _MODULE in command or any(Path(argument).name == JAR.name for argument in command)
