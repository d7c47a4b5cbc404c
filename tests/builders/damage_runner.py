"""Drives the fuzz corpus through worker processes, and notices when one dies or does not come back."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from builders.damage import Case, cases

HERE = Path(__file__).parent
_START_S = 120.0  # to start a worker, or to make a source


@dataclass(frozen=True)
class Result:
    """`outcome`: returned, refused, wrong, crashed or hung; seconds of `read` and `prepare`; growth of memory in bytes."""

    case: Case
    outcome: str
    words: str = ""
    read_s: float = 0.0
    prepare_s: float = 0.0
    memory: int = 0
    cpu_s: float = 0.0


def run_cases(*, patience_s: float, workers: int = 2) -> list[Result]:
    """Try the whole corpus; a case of more than `patience_s` seconds counts as hung.

    It is stopped after twelve times as long; before that, the time must be its own work, for other programs may be busy.
    """
    corpus = cases()
    shares = [list(range(first, len(corpus), workers)) for first in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        parts = pool.map(lambda share: _drive(corpus, share, patience_s), shares)
        return [result for part in parts for result in part]


def _drive(corpus: list[Case], waiting: list[int], patience_s: float) -> list[Result]:
    results: list[Result] = []
    while waiting:
        worker = subprocess.Popen(
            [sys.executable, "-m", "builders.damage_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE.parents[1])])},
        )
        assert worker.stdin is not None and worker.stdout is not None
        try:
            results += _until_it_falls(corpus, waiting, worker.stdin, _lines(worker.stdout), patience_s)
        finally:
            worker.kill()
            worker.wait()
            worker.stdin.close()
            worker.stdout.close()
    return results


def _until_it_falls(
    corpus: list[Case], waiting: list[int], orders: IO[str], answers: queue.Queue[dict[str, Any]], patience_s: float
) -> list[Result]:
    """Results of one worker, taken from `waiting`; the last is "crashed" or "hung" where it did not finish."""
    results = []
    while waiting:
        case, patience, begun = corpus[waiting.pop(0)], _START_S, False
        try:
            orders.write(f"{corpus.index(case)}\n")
            orders.flush()
            while True:
                answer = answers.get(timeout=patience)
                if "ends" in answer:
                    del answer["ends"]
                    if min(answer["cpu_s"], answer["read_s"]) > patience_s:
                        answer |= {"outcome": "hung", "words": "too slow"}
                    results.append(Result(case, **answer))
                    break
                begun, patience = True, 12 * patience_s
                if not answer:
                    raise BrokenPipeError
        except queue.Empty:
            return [*results, Result(case, "hung" if begun else "wrong", f"no answer within {patience:.0f} s", patience)]
        except BrokenPipeError:
            return [*results, Result(case, "crashed", "the process ended")]
    return results


def _lines(stream: IO[str]) -> queue.Queue[dict[str, Any]]:
    """What the worker says, as it comes; an empty answer when it has ended."""
    answers: queue.Queue[dict[str, Any]] = queue.Queue()

    def follow() -> None:
        for line in stream:
            answers.put(json.loads(line))
        answers.put({})

    threading.Thread(target=follow, daemon=True).start()
    return answers
