"""What may reach the dashboard: from `config.yaml` (section `dashboard`), the command line and the environment.

    streamlit run dashboard/Home.py --server.address 0.0.0.0 -- --allow-host lab.example.org --allow-root /data/mammograms

A list on the command line adds to that of `config.yaml`; a password there, or in the variable MAMMOLAB_PASSWORD, takes the
place of the one in `config.yaml`.
"""

from __future__ import annotations

import argparse
import functools
import ipaddress
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from core.config import Config, DashboardConfig, load_config
from core.errors import BadConfig
from core.files.untrusted import read_text
from core.passwords import hash_password
from dashboard.access.hosts import hostname

LOCAL = ("localhost", "127.0.0.1", "::1")
DATA = "data"  # folder of the workspace in which a visitor may name files, as in that of the runs, whatever is configured
_SCRIPT = "Home.py"


@dataclass(frozen=True)
class Access:
    """`hosts` are names under which browsers reach us besides LOCAL; `password` is a scrypt hash or "".

    `roots` are absolute folders from which visitors may name files; None: any file of this machine. `address` is what the
    server listens on; "" means every address of this machine.
    """

    hosts: tuple[str, ...] = ()
    roots: tuple[Path, ...] | None = None
    password: str = ""
    address: str = "127.0.0.1"
    without_password: bool = False

    @property
    def loopback(self) -> bool:
        """Whether only programs of this machine can connect."""
        return is_loopback(self.address)


def is_loopback(address: str) -> bool:
    """Whether a server that listens on `address` is reached from this machine only."""
    if address.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


_serving = False


def serve() -> None:
    """Say that this process serves the pages to browsers: else a test or a script runs one, and nobody can connect."""
    global _serving
    _serving = True


def current() -> Access:
    """The settings of this process; read once, since a server cannot change its address while it runs.

    Raises BadConfig (`config.yaml` or the command line cannot be used).
    """
    ours = Path(sys.argv[0]).name == _SCRIPT  # of `streamlit run`, not of another server or of pytest
    arguments = tuple(sys.argv[1:]) if ours else () if _serving else None
    return _current(arguments, str(Path.cwd()))


@functools.lru_cache(maxsize=4)
def _current(arguments: tuple[str, ...] | None, workspace: str) -> Access:
    path = Path(workspace) / "config.yaml"
    config = load_config(path) if path.exists() else Config()
    address = "127.0.0.1" if arguments is None else str(st.get_option("server.address") or "")
    configured = (
        [str(st.get_option("browser.serverAddress") or "")] if st.config.is_manually_set("browser.serverAddress") else []
    )
    return read(config.dashboard, arguments or (), os.environ, address, configured, Path(workspace), config.checkpoints)


def read(
    config: DashboardConfig,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    address: str,
    configured_hosts: Sequence[str],
    workspace: Path,
    runs: Path = Path("checkpoints"),
) -> Access:
    """The settings that these sources add up to.

    Raises BadConfig (an unknown option, a host that is no host name, a root that is no folder, a password that is too short).
    """
    options = _parse(arguments)
    names = [*configured_hosts, *config.hosts, *options.allow_host]
    wildcard = address in ("", "0.0.0.0", "::", "*")
    hosts = tuple(dict.fromkeys(_host(name) for name in [*names, *([] if wildcard else [address])] if name))
    hosts = tuple(name for name in hosts if name not in LOCAL)
    password = _password(config, options, environment)
    shared = not is_loopback(address) or not all(map(is_loopback, hosts)) or bool(password)
    chosen = [*config.roots, *options.allow_root]
    roots = None
    if chosen or shared:
        folders = [Path(DATA), runs, *chosen]
        roots = tuple(dict.fromkeys(_root(workspace, folder, must_exist=folder in chosen) for folder in folders))
    return Access(hosts, roots, password, address, config.allow_without_password or options.without_password)


def require_protected(access: Access) -> None:
    """Raises BadConfig where others could reach the dashboard without a password and nobody has said that they may."""
    if access.loopback or access.password or access.without_password:
        return
    where = f"the address {access.address}" if access.address else "every address of this machine"
    raise BadConfig(
        f"The dashboard would listen on {where} without a password: everyone who reaches the port could see the images, "
        "start and delete runs. Either set a password with `python -m core password`, or listen on this machine only "
        "(`--server.address 127.0.0.1`), or, where everyone may do all of that, say so: "
        f"`streamlit run dashboard/{_SCRIPT} ... -- --without-password`."
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise BadConfig(f"after `--`: {message}. {' '.join(self.format_usage().split())}")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(prog=f"streamlit run dashboard/{_SCRIPT} --", add_help=False, allow_abbrev=False)
    parser.add_argument("--allow-host", action="append", default=[], metavar="NAME")
    parser.add_argument("--allow-root", action="append", default=[], type=Path, metavar="FOLDER")
    parser.add_argument("--password-file", type=Path, metavar="FILE")
    parser.add_argument("--without-password", action="store_true")
    return parser.parse_args(list(arguments))


def _password(config: DashboardConfig, options: argparse.Namespace, environment: Mapping[str, str]) -> str:
    if options.password_file is not None:
        try:
            return hash_password(read_text(options.password_file.resolve()).rstrip("\r\n"))
        except (OSError, ValueError) as error:
            raise BadConfig(f"--password-file {options.password_file}: cannot be read: {error}") from error
    if environment.get("MAMMOLAB_PASSWORD"):
        return hash_password(environment["MAMMOLAB_PASSWORD"])
    return config.password


def _host(name: str) -> str:
    found = (
        "*" if name == "*" else hostname(f"[{name}]" if name.count(":") > 1 and "[" not in name else name.removeprefix("*."))
    )
    if not found:
        raise BadConfig(
            f"dashboard.hosts: expected a host name (lab.example.org), a pattern (*.example.org) or an address, got {name!r}. "
            "Leave out http:// and any path."
        )
    return f"*.{found}" if name.startswith("*.") else found


def _root(workspace: Path, folder: Path | str, *, must_exist: bool) -> Path:
    path = (workspace / Path(folder).expanduser()).resolve()
    if must_exist and not path.is_dir():
        raise BadConfig(f"dashboard.roots: expected a folder, got {folder}. Name a folder that exists.")
    return path
