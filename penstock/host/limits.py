"""Every bound and every wait of the host in one place."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Sizes are in bytes, times in seconds."""

    # A forest of a few hundred deep trees is tens of MB; beyond these a package is a mistake or an attack.
    upload_bytes: int = 512 * MIB
    package_bytes: int = 1024 * MIB
    package_files: int = 256
    upload_seconds: float = 300.0

    request_bytes: int = 16 * MIB
    response_bytes: int = 64 * MIB
    # How long a client may take to send a request's body, and a function to answer (OpenWhisk's default: 60 s).
    body_seconds: float = 30.0
    answer_seconds: float = 60.0
    # How long a request waits for a function that is being started, or restarted, before it is told to come back; how
    # many requests wait for one function; and how long a start waits until there is room for its process.
    wait_seconds: float = 20.0
    waiting: int = 256
    room_seconds: float = 10.0

    # A function that nobody asks for so long is at zero: its process ends, and the next request starts one.
    idle_seconds: float = 600.0
    # So many processes run at most, and so much private memory they have together (looked at every `watch_seconds`, and
    # before one starts): beyond it those go that were not asked for longest.
    processes: int = 32
    processes_bytes: int = 2048 * MIB
    watch_seconds: float = 1.0

    # How often a rollout is judged, and how many requests of a function are in its shadow at once; others are left out.
    judge_seconds: float = 1.0
    shadows: int = 4
    # Of how many requests of a rollout it is remembered what was answered, for the labels that may come; and what one call brings:
    # requests wait while it is taken in, some 10 ms.
    remembered: int = 100_000
    labels: int = 1000
    labels_bytes: int = MIB

    # The lock of a step's libraries; that of the job room, with Spark and all, is a third of it.
    lock_bytes: int = MIB
    # What uv gets to install the libraries of one step.
    install_seconds: float = 300.0

    # A revision must prove itself within this; ended politely it has `stop_seconds` before it is killed.
    start_seconds: float = 60.0
    stop_seconds: float = 5.0
    # A proven revision is kept warm this long for the traffic that usually follows.
    candidate_seconds: float = 60.0

    # Restarts wait first, 2*first, 4*first … up to the cap, each times a random factor in [0.5, 1] so that
    # functions felled by one cause do not come back at once. After `stable_seconds` of serving it begins anew.
    backoff_first: float = 0.25
    backoff_cap: float = 30.0
    stable_seconds: float = 30.0

    # Written private memory of one runtime (RLIMIT_DATA); a runtime with a small model has about a tenth.
    memory_bytes: int = 2048 * MIB
    # How often complete segments of prediction logs are looked for, and taken to the store; one is complete within the hour.
    compact_seconds: float = 60.0
    # Each function keeps two log files of this size.
    log_bytes: int = MIB

    # So many requests its gateway answers at once, and its access log has two files of this size.
    gateway_requests: int = 256
    gateway_log_bytes: int = 16 * MIB
