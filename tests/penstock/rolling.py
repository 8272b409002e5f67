"""What the tests of rollouts share: a version that breaks, and callers who ask all the time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from penstock.promotion import Live
from penstock.spec.rollout import Rollout
from penstock.targets.embedded import EmbeddedTarget
from tests.penstock.conftest import MakeFunction
from tests.penstock.shop import Shop

#: After the model: breaks where the answer is above 1000, which its example does not show.
BREAKS: Final = """
TAKES = {"prediction": "double"}
GIVES = {"near": "string"}
EXAMPLES = [({"prediction": 1.0}, {"near": "yes"})]

def run(record):
    if record["prediction"] > 1000:
        raise RuntimeError("too far")
    return {"near": "yes"}
"""
FAR: Final = 1e6
#: Version N answers x + N: scores of two are as far apart as can be.
SOON: Final = Rollout(steps=(50,), requests=30, minutes=0, scores=1)
NEVER: Final = SOON.model_copy(update={"requests": 10**9})


class Killed(BaseException):
    """Ends who follows a rollout where it stands, as SIGKILL does."""


def breaking_package(make_function: MakeFunction, version: int, step: str = BREAKS) -> Path:
    """A package that breaks where it is asked for what is far, by a step after its model."""
    return make_function(version, steps={"steps/near/step.py": step}, order=["score", "near"])


def breaking(shop: Shop) -> str:
    """One more version, with such a package; its number."""
    version = shop.register()
    where = f"{shop.package(version)}/package"
    shop.store.remove(where)
    shop.store.put(breaking_package(shop.make_function, int(version)), where)
    return version


@contextmanager
def callers(shop: Shop) -> Iterator[list[str]]:
    """Two who ask the live name all the time; what they were refused."""
    done, refused = threading.Event(), list[str]()

    def ask() -> None:
        target = EmbeddedTarget(shop.settings.host_state)
        while not done.is_set():
            try:
                target.invoke("shift", {"x": FAR})
                time.sleep(0.005)
            except Exception as error:
                refused.append(str(error))
                done.set()

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield refused
    finally:
        done.set()
        for thread in threads:
            thread.join()


def promote(
    shop: Shop, version: str, plan: Rollout, *, killed: bool = False, run: str = "run"
) -> Live | None:
    """As deploy does it; `killed`: whoever follows the rollout dies once it is under way."""

    def die(_: str) -> None:
        raise Killed

    say = die if killed else print
    try:
        return shop.promotion.promote(
            version, shop.package(version), judged_against="1", rollout=plan, run=run, say=say
        )
    except Killed:
        return None
