"""What may be deleted or renamed: a run beyond doubt, and nothing that is or holds more than one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import BadRun
from core.runs import Run, list_runs, removal
from core.runs.removal import require_removable

MakeRun = Callable[..., Run]
ACTIONS = ["delete", "rename"]


def act(action: str, run: Run, **keywords: object) -> None:
    if action == "delete":
        run.delete(**keywords)  # type: ignore[arg-type]
    else:
        run.rename("another", **keywords)  # type: ignore[arg-type]


def looks_like_a_run(folder: Path) -> Run:
    """The least that may be deleted."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("status.json", "events.jsonl", "manifest.csv"):
        (folder / name).touch()
    return Run(folder)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    ("there", "lacking"),
    [
        (["status.json"], "manifest.csv"),
        (["events.jsonl"], "manifest.csv"),
        (["model.json"], "status.json and events.jsonl, manifest.csv"),
        (["model.json", "manifest.csv", "config.yaml"], "status.json and events.jsonl"),
        (["status.json", "model.json", "config.yaml"], "manifest.csv"),
    ],
)
def test_a_folder_with_only_some_of_the_marks_is_listed_and_left_for_a_person_to_remove(
    tmp_path: Path, action: str, there: list[str], lacking: str
) -> None:
    folder = tmp_path / "runs" / "rest"
    folder.mkdir(parents=True)
    for name in there:
        (folder / name).touch()
    assert [run.name for run in list_runs(tmp_path / "runs")] == ["rest"]
    assert Run(folder).problem
    with pytest.raises(BadRun, match=r"by hand") as caught:
        act(action, Run.open(folder))
    assert f"it lacks {lacking}," in str(caught.value)
    assert sorted(each.name for each in folder.iterdir()) == sorted(there)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("written", ["status.json", "events.jsonl"])
def test_a_damaged_run_with_the_evidence_goes(tmp_path: Path, action: str, written: str) -> None:
    folder = tmp_path / "runs" / "bad"
    folder.mkdir(parents=True)
    (folder / written).write_bytes(b"\x00\xff")
    (folder / "manifest.csv").mkdir()  # of a bad kind
    if action == "rename":  # a folder in a file's place is what nothing but deleting takes
        with pytest.raises(BadRun, match=r"manifest\.csv is a folder"):
            act(action, Run.open(folder))
        return
    act(action, Run.open(folder))
    assert not folder.exists()


def test_settings_alone_make_no_run(tmp_path: Path) -> None:
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "config.yaml").touch()
    with pytest.raises(BadRun, match="not a run"):
        Run.open(tmp_path / "ws")
    assert list_runs(tmp_path) == []
    with pytest.raises(BadRun, match="not a run"):
        Run(tmp_path / "ws").delete()


def in_it(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).mkdir(parents=True)
        return folder / name

    return make


def another_run(folder: Path) -> Path:
    return looks_like_a_run(folder / "backup" / "old").path


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (in_it("checkpoints"), "holds checkpoints/"),
        (in_it("data"), "holds data/"),
        (in_it("Data"), "holds Data/"),
        (in_it(".git"), "holds a repository"),
        (in_it("code/.git"), "holds a repository"),
        (another_run, "holds another run"),
    ],
)
def test_what_holds_more_than_a_run_stays(tmp_path: Path, action: str, make: Callable, words: str) -> None:
    run = looks_like_a_run(tmp_path / "one")
    inside = make(run.path)
    with pytest.raises(BadRun, match=words) as caught:
        act(action, run)
    assert "Nothing was changed" in str(caught.value)
    assert inside.exists() and run.path.is_dir()


@pytest.mark.parametrize("action", ACTIONS)
def test_a_file_of_git_which_a_worktree_has_counts_as_a_repository(tmp_path: Path, action: str) -> None:
    run = looks_like_a_run(tmp_path / "one")
    (run.path / ".git").write_text("gitdir: elsewhere", encoding="utf-8")
    with pytest.raises(BadRun, match="repository"):
        act(action, run)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("below", ["", "deep/er"])
@pytest.mark.parametrize("what", ["current", "home", "runs"])
def test_the_current_the_home_and_the_runs_folder_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str, below: str, what: str
) -> None:
    run = looks_like_a_run(tmp_path / "one")
    place = run.path / below
    place.mkdir(parents=True, exist_ok=True)
    if what == "current":
        monkeypatch.chdir(place)
    elif what == "home":
        monkeypatch.setattr(Path, "home", lambda: place)
    keep = [place] if what == "runs" else []
    with pytest.raises(BadRun, match=f"the {what} folder|your {what} folder"):
        act(action, run, keep=keep)
    assert run.path.is_dir()


def test_the_current_folder_is_known_by_any_of_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = looks_like_a_run(tmp_path / "one")
    (tmp_path / "other name").symlink_to(tmp_path, target_is_directory=True)
    monkeypatch.chdir(run.path)
    with pytest.raises(BadRun, match="the current folder"):
        Run(tmp_path / "other name" / "one").delete()
    assert run.path.is_dir()


def test_where_case_does_not_count_folders_are_compared_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, for a runs folder that does not exist yet."""
    run = looks_like_a_run(tmp_path / "one")
    monkeypatch.setattr(removal.os.path, "normcase", lambda path: os.fspath(path).lower())
    with pytest.raises(BadRun, match="the runs folder"):
        require_removable(run.path, "deleted", [tmp_path / "ONE" / "checkpoints"])


def test_the_root_of_a_file_system_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = looks_like_a_run(tmp_path / "one")
    monkeypatch.setattr(removal.os.path, "ismount", lambda path: Path(path) == run.path)
    with pytest.raises(BadRun, match="root of a file system"):
        run.delete()
    assert run.path.is_dir()


def test_a_folder_with_too_many_files_for_a_run_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = looks_like_a_run(tmp_path / "one")
    monkeypatch.setattr(removal, "_MOST_ENTRIES", 2)
    with pytest.raises(BadRun, match="more than 2 files"):
        run.delete()
    assert run.path.is_dir()


def test_of_a_run_that_is_a_link_only_the_link_is_deleted(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("one")
    link = tmp_path / "runs" / "linked"
    link.symlink_to(run.path, target_is_directory=True)
    assert {each.name for each in list_runs(tmp_path / "runs")} == {"one", "linked"}
    Run.open(link).delete()
    assert not os.path.lexists(link)
    assert Run.open(run.path).problem == ""


def test_a_link_to_a_workspace_can_be_deleted_and_nothing_of_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = looks_like_a_run(tmp_path / "ws").path
    (workspace / "data").mkdir()
    monkeypatch.chdir(workspace)
    (tmp_path / "link").symlink_to(workspace, target_is_directory=True)
    Run.open(tmp_path / "link").delete()
    assert (workspace / "data").is_dir() and not os.path.lexists(tmp_path / "link")


def test_a_run_is_not_renamed_onto_a_link_that_leads_nowhere(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("one")
    (run.path.parent / "two").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BadRun, match="already a run named two"):
        run.rename("two")


def test_sweeping_up_follows_no_link_and_takes_only_what_is_ours(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("one")
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (run.path.parent / ".deleted-0123456789ab").symlink_to(precious, target_is_directory=True)
    run.delete()
    assert (precious / "file").exists()


def test_leftovers_of_writers_are_told_from_other_hidden_files(make_run: MakeRun) -> None:
    from core.files.folders import remove_leftovers

    run = make_run("one")
    (run.path / ".status.json.123.0a1b2c3d.tmp").touch()
    (run.path / ".mine.tmp").touch()
    remove_leftovers(run.path)
    assert {each.name for each in run.path.glob(".*")} == {".mine.tmp"}


@pytest.mark.parametrize("action", ACTIONS)
def test_windows_moves_a_run_after_its_locks_are_let_go(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """There a folder in which a file is open cannot be moved."""
    from filelock import FileLock

    made = make_run("one")
    held: list[FileLock] = []
    moving = Path.rename

    def recorded(taking: Callable[..., FileLock]) -> Callable[..., FileLock]:
        def take(*arguments: object) -> FileLock:
            held.append(taking(*arguments))
            return held[-1]

        return take

    def move(self: Path, target: Path) -> Path:
        assert len(held) == 2 and not any(lock.is_locked for lock in held)
        return moving(self, target)

    monkeypatch.setattr(removal, "_WINDOWS", True)
    for name in ("take", "take_training"):
        monkeypatch.setattr(removal, name, recorded(getattr(removal, name)))
    monkeypatch.setattr(Path, "rename", move)
    act(action, made)
    assert not (made.path.parent / "one").exists()


def test_what_is_not_the_runs_is_listed_and_deleted_only_when_asked_for(make_run: MakeRun) -> None:
    run = make_run("one")
    (run.path / "thesis.docx").touch()
    (run.path / "pictures").mkdir()
    (run.path / "explain" / "mine").mkdir(parents=True)
    for ours in ("explain/d0012-gradcam.png", "report.html", ".DS_Store", ".status.json.123.0a1b2c3d.tmp"):
        (run.path / ours).touch()
    (run.path / "link").symlink_to(run.path.parent)
    assert removal.foreign(run.path) == ["explain/mine/", "pictures/", "thesis.docx"]
    with pytest.raises(BadRun, match=r"explain/mine/, pictures/, thesis\.docx\. Nothing was changed.*--everything"):
        run.delete()
    assert (run.path / "thesis.docx").exists()
    run.delete(everything=True)
    assert not run.path.exists()
