"""The allocator is told once to keep memory, however many trainings there are, and told again when the last one ends."""

from __future__ import annotations

import platform
import sys
import threading
from types import SimpleNamespace

import pytest
import torch

from core.runs import Run
from core.training.cpu import malloc
from core.training.cpu.malloc import retain_freed_memory
from core.training.loop import train

CPU = torch.device("cpu")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """What a pretended glibc was asked for: (parameter, size), and (0,) for giving everything back."""
    asked: list[tuple[int, ...]] = []

    def mallopt(parameter: int, size: int) -> int:
        asked.append((parameter, size))
        return 1

    def malloc_trim(_: int) -> int:
        asked.append((0,))
        return 1

    monkeypatch.setattr(malloc, "_glibc", lambda: SimpleNamespace(mallopt=mallopt, malloc_trim=malloc_trim))
    return asked


def test_memory_goes_back_when_the_last_of_several_trainings_ends(told: list[tuple[int, ...]]) -> None:
    with retain_freed_memory(CPU) as first:
        keeping = len(told)
        with retain_freed_memory(CPU) as second:
            assert first and second and len(told) == keeping > 0
        assert len(told) == keeping
    assert told[-1] == (0,)
    before, after = ({each[0]: each[-1] for each in part} for part in (told[:keeping], told[keeping:-1]))
    assert before.keys() == after.keys() and all(after[each] < before[each] for each in after)


def test_memory_goes_back_when_a_training_fails(told: list[tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="diverged"), retain_freed_memory(CPU):
        raise ValueError("diverged")
    assert told[-1] == (0,)


def test_a_training_that_is_cut_off_lets_go(told: list[tuple[int, ...]], make_run: object) -> None:
    run = make_run()  # type: ignore[operator]
    assert isinstance(run, Run)
    events = train(run)
    assert any(event["type"] == "step" for event in events)
    asked = len(told)
    assert told and told[-1] != (0,)
    events.close()  # type: ignore[attr-defined]
    assert len(told) > asked and told[-1] == (0,)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_gpus_tensors_do_not_need_it(told: list[tuple[int, ...]], device: str) -> None:
    with retain_freed_memory(torch.device(device)) as kept:
        assert not kept
    assert told == []


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    with retain_freed_memory(CPU) as kept:
        assert not kept


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or malloc._glibc() is None, reason="needs glibc")
@pytest.mark.parametrize("threaded", [False, True])
def test_large_tensors_cost_no_new_pages(threaded: bool) -> None:
    import resource

    def share() -> float:
        """Of the pages of all tensors, how many the system had to give."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(3):
            held = [torch.ones(10 << 20) for _ in range(4)]
            del held
        return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / (3 * 4 * (40 << 20) / resource.getpagesize())

    found: list[float] = []

    def measure() -> None:
        with retain_freed_memory(CPU):
            share()  # until the heap is as large as it has to be
            found.append(share())
        found.append(share())

    if threaded:
        thread = threading.Thread(target=measure)
        thread.start()
        thread.join()
    else:
        measure()
    assert found[0] < 0.2 and (threaded or found[1] > 0.3)  # large pages may spare the system some
