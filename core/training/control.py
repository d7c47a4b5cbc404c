"""Requests to pause and to stop a training, made through its run folder (`Run.request`)."""

from __future__ import annotations

import time
from dataclasses import dataclass

from core.training.distributed import World
from core.training.run_logger import RunLogger
from core.training.throughput import Throughput
from core.training.timing import LoopTiming


@dataclass
class ControlRequests:
    """The requests to one training, the same in all of its processes."""

    logger: RunLogger
    world: World
    throughput: Throughput
    timing: LoopTiming

    @property
    def pending(self) -> bool:
        """Whether this process sees a request."""
        return self.logger.run.requested("stop") or self.logger.run.requested("pause")

    def wait_while_paused(self) -> bool:
        """Wait for as long as a pause is requested; returns whether a stop is."""
        pause, stop = self._requests()
        if pause and not stop:
            self.logger.update(state="paused", eta_seconds=None)
            self.logger.log.info("paused")
            while pause and not stop:
                time.sleep(self.timing.pause_poll)
                pause, stop = self._requests()
            self.logger.log.info("resumed")
            self.logger.update(state="running")
            self.throughput.restart()
        return stop

    def _requests(self) -> tuple[bool, bool]:
        pause, stop = self.world.broadcast(self.logger.run.requested("pause"), self.logger.run.requested("stop"))
        return pause, stop
