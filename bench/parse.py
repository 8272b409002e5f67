"""What a `pipeline.py` costs to parse, beside a hand-written DAG of the same tasks. `python -m bench.parse`.

Each is executed in a process that has Airflow's SDK and Penstock's side imported, as a DAG processor has after its
first file; pairs in turn, the median of the ratios.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PAIRS = 15
ROOT = Path(__file__).parents[1]

HAND_WRITTEN = '''
"""The same tasks, by hand."""
from datetime import datetime, timezone
from airflow.sdk import DAG, BaseOperator, CronDataIntervalTimetable, Param, task_group


class Plan(BaseOperator):
    def execute(self, context):
        return []


class Stage(BaseOperator):
    template_fields = ("interval",)

    def __init__(self, interval=None, **kwargs):
        super().__init__(**kwargs)
        self.interval = interval


with DAG(
    "by_hand",
    schedule=CronDataIntervalTimetable("0 0 1 * *", timezone="UTC"),
    start_date=datetime(2013, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    params={name: Param(None, type=["null", "string"]) for name in ("date", "since", "trials", "force", "note")},
    default_args={"owner": "x", "retries": 1},
) as dag:
    plan = Plan(task_id="plan")

    @task_group(group_id="data", prefix_group_id=False)
    def data(interval):
        Stage(task_id="collect", interval=interval) >> Stage(task_id="validate", interval=interval)

    last = data.expand(interval=plan.output)
    for name in ("features", "train", "register", "validate_model", "deploy"):
        task = Stage(task_id=name)
        last >> task
        last = task
'''

TIMER = """
import runpy, sys, time
import airflow.sdk, penstock_airflow.dag
ours, by_hand, pairs = sys.argv[1], sys.argv[2], int(sys.argv[3])
for path in (ours, by_hand):
    runpy.run_path(path)
for _ in range(pairs):
    took = []
    for path in (ours, by_hand):
        began = time.perf_counter()
        runpy.run_path(path)
        took.append(time.perf_counter() - began)
    print(*took)
"""


def main() -> None:
    """Print the table."""
    ours = ROOT / "dags" / "flight_delays" / "pipeline.py"
    with tempfile.TemporaryDirectory() as folder:
        by_hand = Path(folder) / "by_hand.py"
        by_hand.write_text(HAND_WRITTEN)
        ran = subprocess.run(
            [sys.executable, "-c", TIMER, str(ours), str(by_hand), str(PAIRS)],
            check=True, capture_output=True, text=True, cwd=ROOT,
        )  # fmt: skip
    pairs = [tuple(map(float, line.split())) for line in ran.stdout.splitlines() if line.count(".") == 2]
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"pipeline.py      {statistics.median(a for a, _ in pairs) * 1000:7.2f} ms")
    print(f"by hand          {statistics.median(b for _, b in pairs) * 1000:7.2f} ms")
    print(f"ratio            {ratio:7.2f}    (goal: at most 1.5)")


if __name__ == "__main__":
    main()
