"""Eight clients at once, while a run trains and the server is killed: nobody gets a wrong answer and nothing is lost."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from builders.chromium import ROOT, dashboard_in
from builders.lab_pages import draw_breast
from builders.tiny_run import make_run

from core.config import load_config
from core.data import read_manifest
from core.images.encode import encode_png
from core.runs import Run
from core.training.launchers import run_to_end

pytestmark = pytest.mark.slow
CLIENTS = 8


def _long_run(folder: Path, name: str) -> Run:
    config = load_config(folder / "config.yaml", ["training.epochs=60", "training.patience=0"])
    frame = read_manifest(folder / "data" / "tiny" / "manifest.csv")
    return Run.create(config.model_copy(update={"checkpoints": folder / "checkpoints"}), frame, name=name)


def _train(run: Run, *, resume: bool = False) -> subprocess.Popen[bytes]:
    arguments = ["--resume", str(run.path)] if resume else []
    if resume:
        return subprocess.Popen([sys.executable, "-m", "core", "train", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL)
    code = (
        "import sys; from core.runs import Run; from core.training.launchers import run_to_end; "
        "run_to_end(Run.open(sys.argv[1]))"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(run.path)], cwd=ROOT)


def _score(client: httpx.Client, url: str, image: bytes, session: str) -> str:
    """The verdict of the Test image tab on one upload, as a browser gets it."""
    api = f"{url}/gradio/gradio_api"
    config = client.get(f"{url}/gradio/config").json()
    components = {each["id"]: each for each in config["components"]}
    events = {each["targets"][0][1]: each for each in config["dependencies"] if each["targets"]}
    [path] = client.post(f"{api}/upload", files={"files": (f"{session}.png", image)}).json()
    given = {"file": [{"path": path, "orig_name": f"{session}.png", "meta": {"_type": "gradio.FileData"}}], "dropdown": "tiny"}
    verdict = ""
    for name in ("load", "upload"):
        # What the page holds is sent along; states stay on the server.
        data = [given.get(components[each]["type"]) for each in events[name]["inputs"]]
        body = {"fn_index": events[name]["id"], "session_hash": session, "data": data, "trigger_id": None, "event_data": None}
        client.post(f"{api}/queue/join", json=body).raise_for_status()
        with client.stream("GET", f"{api}/queue/data", params={"session_hash": session}) as stream:
            for line in stream.iter_lines():
                message: dict[str, Any] = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
                if message.get("msg") in ("process_generating", "process_completed"):
                    assert message["success"], message
                    verdict += json.dumps(message["output"])
                if message.get("msg") == "close_stream":
                    break
    return verdict


def test_eight_clients_while_a_run_trains_and_the_server_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMMOLAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MAMMOLAB_CACHE", str(tmp_path / "cache"))
    make_run(tmp_path)
    alone, crowded = _long_run(tmp_path, "alone"), _long_run(tmp_path, "crowded")
    run_to_end(alone)

    def visit(url: str, number: int) -> list[str]:
        """The score of one image, asked for five times."""
        image = encode_png(draw_breast(number, height=64, width=48))
        found = []
        with httpx.Client(timeout=60) as client:
            for turn in range(5):
                verdict = _score(client, url, image, f"client-{number}-{turn}")
                found += dict.fromkeys(re.findall(r"class=..?score..?>(0\.\d{3})<", verdict))
                client.get(url).raise_for_status()
        return found

    with dashboard_in(tmp_path) as url:
        trainer = _train(crowded)
        with ThreadPoolExecutor(CLIENTS) as pool:
            answers = list(pool.map(lambda number: visit(url, number), range(CLIENTS)))
        trainer.kill()  # in the middle, or after its end: both have to come out the same
        trainer.wait()
    assert [len(scores) for scores in answers] == [5] * CLIENTS
    assert all(len(set(scores)) == 1 for scores in answers) and len({scores[0] for scores in answers}) > 1
    if crowded.status().state != "done":
        assert _train(crowded, resume=True).wait() == 0
    assert [event["seq"] for event in crowded.events()] == list(range(1, len(crowded.events()) + 1))
    first, second = (torch.load(run.path / "last.pt", weights_only=True)["model"] for run in (alone, crowded))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not list((tmp_path / "cache").glob("uploads-*"))
