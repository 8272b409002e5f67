"""Our own app, for a server that takes one by name; the environment's BENCH_PACKAGE is its package."""

from __future__ import annotations

import os
from pathlib import Path

from penstock_function.app import build
from penstock_function.package import Package
from penstock_function.service import Service

service = Service()
service.serve(Package.load(Path(os.environ["BENCH_PACKAGE"])))
app = build(service)
