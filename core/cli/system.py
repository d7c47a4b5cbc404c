"""The commands `doctor`, `cache` and `password`: this machine and this installation."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from core.cli.arguments import Commands, add_command, json_option
from core.cli.output import note, print_json
from core.cli.workspace import DEFAULT_CONFIG
from core.errors import BadConfig


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "doctor", doctor, "check versions, devices, decoders, weights and disk space")
    json_option(parser)
    parser = add_command(commands, "cache", cache, "show where prepared images are stored and their size, or delete them")
    parser.add_argument("--clear", action="store_true", help="delete all prepared images; refused while a training uses them")
    json_option(parser)
    parser = add_command(commands, "password", password, "set or remove the password of the dashboard")
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="file to write to (default: %(default)s)")
    parser.add_argument("--stdin", action="store_true", help="read the password from the first line of standard input")
    parser.add_argument("--remove", action="store_true", help="remove the password")


def doctor(arguments: argparse.Namespace) -> int:
    """Print what was found; the exit code is 1 when something that MammoLab needs is missing."""
    from core.cli.doctor import examine

    findings = examine()
    if arguments.json:
        print_json([vars(finding) for finding in findings])
    else:
        width = max(len(finding.subject) for finding in findings)
        for finding in findings:
            print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.subject.ljust(width)}  {finding.detail}")
    return 0 if all(finding.ok for finding in findings) else 1


def cache(arguments: argparse.Namespace) -> int:
    """Print where prepared images are stored and how much space they take; or delete them."""
    from core.cli.workspace import default_config
    from core.data.cache import size_of
    from core.files.paths import cache_root
    from core.runs.image_cache import clear

    root = cache_root()
    size = size_of(root)
    deleted = clear(default_config().checkpoints) if arguments.clear else 0
    if arguments.json:
        print_json({"folder": root.as_posix(), "bytes": size, "deleted_files": deleted})
    else:
        freed = f": {deleted:,} files deleted; they are prepared again when needed" if arguments.clear else ""
        print(f"{root.as_posix()}: {size / 1e6:,.1f} MB of prepared images{freed}")
    return 0


def password(arguments: argparse.Namespace) -> int:
    """Write a password's hash into the configuration; the password itself is stored nowhere."""
    from getpass import getpass

    from core.config import save_section
    from core.passwords import hash_password

    hashed = ""
    if not arguments.remove:
        typed = sys.stdin.readline().rstrip("\r\n") if arguments.stdin else getpass("Password: ")
        hashed = hash_password(typed)
        if not arguments.stdin and getpass("Again: ") != typed:
            raise BadConfig("The two passwords differ; nothing was changed. Try again.")
    save_section(arguments.config, "dashboard", {"password": hashed})
    print(f"{arguments.config.as_posix()}: the dashboard asks for {'a' if hashed else 'no'} password.")
    note("Start the dashboard again: it reads this once.")
    return 0
