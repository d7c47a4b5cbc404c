"""Ctrl-C before a command has begun: one line and exit code 130, no traceback."""

from __future__ import annotations

import runpy
import sys
from typing import NoReturn

import pytest

import core
import core.cli


class Pressed:
    """An import hook in which Ctrl-C is pressed."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, name: str, *_: object) -> None:
        if name == self.name:
            self.interrupt()

    def interrupt(self) -> NoReturn:
        raise KeyboardInterrupt


@pytest.mark.parametrize("module", ["core.cli", "core.cli.output", "core.cli.parser", "core.cli.train"])
def test_an_interrupt_while_commands_are_imported_ends_with_a_line_and_130(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(core, "cli", core.cli)  # imported anew below: what other tests hold comes back
    for name in [each for each in sys.modules if each == "core.cli" or each.startswith("core.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Pressed(module), *sys.meta_path])
    monkeypatch.setattr(sys, "argv", ["core", "runs"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("core", run_name="__main__")
    said = capsys.readouterr()
    assert (ended.value.code, said.out, said.err) == (130, "", "interrupted\n")
