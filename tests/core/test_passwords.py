from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from core.cli import main
from core.config import load_config
from core.errors import BadConfig
from core.passwords import hash_password, is_hash, verify_password


@pytest.mark.slow
def test_a_password_is_verified_against_its_own_hash_only() -> None:
    hashed = hash_password("correct horse")
    assert is_hash(hashed)
    assert verify_password("correct horse", hashed)
    assert not verify_password("correct horsf", hashed)
    assert not verify_password("", hashed)
    assert hash_password("correct horse") != hashed  # another salt


def test_the_hash_is_scrypt_as_hashlib_computes_it() -> None:
    _, power, block, parallel, salt, key = hash_password("pässword 1").split("$")
    again = hashlib.scrypt(
        "pässword 1".encode(),
        salt=base64.urlsafe_b64decode(salt + "=="),
        n=2 ** int(power),
        r=int(block),
        p=int(parallel),
        maxmem=2**27,
        dklen=32,
    )
    assert base64.urlsafe_b64encode(again).rstrip(b"=").decode() == key


@pytest.mark.parametrize("password", ["", "seven77", "x" * 1025])
def test_passwords_of_impossible_length_are_refused(password: str) -> None:
    with pytest.raises(BadConfig, match="expected a password of 8 to 1024 characters"):
        hash_password(password)


@pytest.mark.parametrize(
    "hashed",
    [
        "",
        "secret",
        "scrypt$15$8$1$short$short",
        # Each of these would take gigabytes of memory to verify.
        f"scrypt$30$8$1${'A' * 22}${'A' * 43}",
        f"scrypt$20$99$9${'A' * 22}${'A' * 43}",
    ],
)
def test_what_is_no_hash_of_ours_verifies_nothing(hashed: str) -> None:
    assert not is_hash(hashed)
    assert not verify_password("anything", hashed)


@pytest.mark.slow
def test_the_command_writes_the_hash_and_keeps_everything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import io

    config = tmp_path / "config.yaml"
    config.write_text("# mine\ntraining:\n  epochs: 3  # few\n", encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))
    assert main(["password", "--stdin", "--config", str(config)]) == 0
    text = config.read_text(encoding="utf-8")
    assert "# mine" in text and "epochs: 3  # few" in text and "correct horse" not in text
    assert verify_password("correct horse", load_config(config).dashboard.password)
    assert main(["password", "--remove", "--config", str(config)]) == 0
    assert load_config(config).dashboard.password == ""


def test_a_password_in_plain_text_is_refused_and_not_repeated(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("dashboard:\n  password: hunter2hunter2\n", encoding="utf-8")
    with pytest.raises(BadConfig, match="python -m core password") as refused:
        load_config(config)
    assert "hunter2" not in str(refused.value)
