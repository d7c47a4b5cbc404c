from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core import passwords
from core.config import DashboardConfig
from core.errors import BadConfig
from core.passwords import hash_password, verify_password
from dashboard.access.settings import Access, is_loopback, read, require_protected

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """By design a real one takes a tenth of a second."""
    monkeypatch.setattr(passwords, "_COST", 2**10)


def _read(
    tmp_path: Path, *arguments: str, address: str = "127.0.0.1", environment: dict[str, str] | None = None, **config: object
) -> Access:
    return read(DashboardConfig(**config), arguments, environment or {}, address, [], tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "::1", "[::1]", "127.0.0.2", "LOCALHOST"])
def test_addresses_of_this_machine_alone_need_no_password(tmp_path: Path, address: str) -> None:
    assert is_loopback(address)
    require_protected(_read(tmp_path, address=address))


@pytest.mark.parametrize("address", ["", "0.0.0.0", "::", "192.168.1.5", "lab.example.org", "localhost.example.org"])
def test_other_addresses_need_a_password_or_a_word_that_everyone_may_come_in(tmp_path: Path, address: str) -> None:
    with pytest.raises(BadConfig, match="without a password") as refused:
        require_protected(_read(tmp_path, address=address))
    assert "python -m core password" in str(refused.value) and "--without-password" in str(refused.value)
    require_protected(_read(tmp_path, address=address, password=hash_password("correct horse")))
    require_protected(_read(tmp_path, "--without-password", address=address))
    require_protected(_read(tmp_path, address=address, allow_without_password=True))
    require_protected(_read(tmp_path, address=address, environment={"MAMMOLAB_PASSWORD": "correct horse"}))


def test_command_line_and_configuration_add_up(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "more").mkdir()
    found = _read(
        tmp_path,
        *("--allow-host", "*.tunnel.example", "--allow-root", "more"),
        address="192.168.1.5",
        hosts=("lab.example.org",),
        roots=(Path("films"),),
    )
    assert found.hosts == ("lab.example.org", "*.tunnel.example", "192.168.1.5")
    assert found.roots == tuple((tmp_path / name).resolve() for name in ("data", "checkpoints", "films", "more"))


def test_a_password_file_takes_the_place_of_the_configured_password(tmp_path: Path) -> None:
    (tmp_path / "password.txt").write_text("from a file\n", encoding="utf-8")
    found = _read(tmp_path, "--password-file", str(tmp_path / "password.txt"), password=hash_password("configured"))
    assert verify_password("from a file", found.password)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--alow-host", "x"), "unrecognized arguments"),
        (("--allow-host", "http://lab.example.org/"), "Leave out http://"),
        (("--allow-host", "lab example"), "expected a host name"),
        (("--allow-root", "no/such/folder"), "expected a folder"),
        (("--password-file", "no-such-file"), "cannot be read"),
    ],
)
def test_a_wrong_option_says_what_is_expected(tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    with pytest.raises(BadConfig, match=expected):
        _read(tmp_path, *arguments)


def test_files_anywhere_may_be_named_only_while_nobody_else_can_come_in(tmp_path: Path) -> None:
    assert _read(tmp_path).roots is None
    assert _read(tmp_path, address="0.0.0.0").roots is not None
    assert _read(tmp_path, hosts=("lab.example.org",)).roots is not None
    assert _read(tmp_path, password=hash_password("correct horse")).roots is not None


def test_the_folder_of_runs_is_the_configured_one(tmp_path: Path) -> None:
    found = read(
        DashboardConfig(), ("--allow-host", "lab.example.org"), {}, "127.0.0.1", [], tmp_path, tmp_path / "disk" / "runs"
    )
    assert found.roots == (tmp_path / "data", tmp_path / "disk" / "runs")


@pytest.mark.slow
def test_the_server_does_not_start_on_every_address_without_a_password(tmp_path: Path) -> None:
    shutil.copytree(ROOT / ".streamlit", tmp_path / ".streamlit")
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboard" / "Home.py"), "--server.headless=true"]
    options = ["--server.address=0.0.0.0", "--server.port=0"]
    ended = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=120)
    assert ended.returncode != 0
    assert "without a password" in ended.stderr and "Traceback" not in ended.stderr
