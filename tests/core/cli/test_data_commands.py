"""`data import`, `data relabel` and `data merge`: what they write, say and refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from builders import collection_trees as trees
from builders.cbis_tree import dicom_tree

from core.cli import main
from core.data.importers import registry

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command in an empty folder: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.mark.slow
def test_an_import_states_splits_repairs_exclusions_and_what_is_not_known(call: Call, tmp_path: Path) -> None:
    dicom_tree(tmp_path / "set")
    code, out, err = call("data", "import", "auto", "set", "--out", "m.csv")
    assert code == 0
    assert out.splitlines()[0] == "m.csv: 6 images of 3 patients (3 malignant, 3 benign), 2 left out"
    assert [line.split()[:6] for line in out.splitlines()[1:]] == [
        ["split", "images", "benign", "malignant", "unlabelled", "patients"],
        ["train", "5", "2", "3", "0", "2"],
        ["test", "1", "1", "0", "0", "1"],
        ["all", "6", "3", "3", "0", "3"],
    ]
    assert "note: recognised as cbis-ddsm" in err and "repaired: 1 patient stood in several parts" in err
    assert "left out: Calc-Test_P_00038_LEFT_MLO: no image" in err
    assert len(pd.read_csv(tmp_path / "m.exclusions.csv")) == 2
    code, out, _ = call("data", "import", "auto", "set", "--out", "m.csv", "--overwrite", "--json")
    found = json.loads(out)
    assert code == 0 and found["exclusions"] == "m.exclusions.csv" and found["splits"][0]["split"] == "train"
    assert len(found["repairs"]) == 2 and len(found["rejected"]) == 2 and found["unlabelled"] == 0


def test_many_exclusions_are_named_in_part_and_written_in_full(call: Call, tmp_path: Path) -> None:
    trees.huang_lin(tmp_path / "set")
    _, _, err = call("data", "import", "huang-lin", "set", "--out", "m.csv")
    assert err.count("left out: ") == 21 and "left out: 23 more, all of them in m.exclusions.csv" in err
    assert "not known: patients of 2 original images" in err
    assert len(pd.read_csv(tmp_path / "m.exclusions.csv")) == 43


def test_a_file_that_is_no_list_of_exclusions_is_not_overwritten(call: Call, tmp_path: Path) -> None:
    trees.dmid(tmp_path / "set")
    (tmp_path / "m.exclusions.csv").write_text("mine", encoding="utf-8")
    code, _, err = call("data", "import", "dmid", "set", "--out", "m.csv")
    assert code == 1 and "such a file already" in err and not (tmp_path / "m.csv").exists()
    assert (tmp_path / "m.exclusions.csv").read_text(encoding="utf-8") == "mine"


def test_classes_are_confirmed_by_an_option_and_nothing_is_written_before(call: Call, tmp_path: Path) -> None:
    for folder in ("0", "1"):
        trees.picture(tmp_path / "set" / folder / "a.png")
    code, _, err = call("data", "import", "folder", "set", "--out", "m.csv")
    assert code == 1 and "--classes 0=benign,1=malignant" in err and not list(tmp_path.glob("*.csv"))
    code, out, _ = call("data", "import", "auto", "set", "--out", "m.csv", "--classes", "0=benign,1=malignant")
    assert code == 0 and "2 images of patients that are not known (1 malignant, 1 benign)" in out


def test_another_rule_needs_no_second_import(call: Call, tmp_path: Path) -> None:
    trees.cmmd(tmp_path / "set")
    assert call("data", "import", "cmmd", "set", "--out", "m.csv")[0] == 0
    (tmp_path / "m.exclusions.csv").unlink()
    code, out, err = call("data", "relabel", "m.csv", "--rule", "pathology-assume-normal", "--out", "n.csv")
    assert code == 0 and out == "n.csv: 10 images of 3 patients (4 malignant, 6 benign)\n"
    assert "note: 2 images: unlabelled became benign" in err
    code, out, _ = call("data", "relabel", "n.csv", "--rule", "pathology", "--out", "n2.csv", "--json")
    assert json.loads(out)["unlabelled"] == 2 and json.loads(out)["notes"] == ["2 images: benign became unlabelled"]
    assert (tmp_path / "n2.csv").read_text(encoding="utf-8") == (tmp_path / "m.csv").read_text(encoding="utf-8")
    assert call("data", "relabel", "m.csv", "--rule", "birads-from-4", "--out", "x.csv")[0] == 1
    assert call("data", "relabel", "m.csv", "--rule", "pathology", "--out", "m.csv", "--overwrite")[0] == 1, "its own input"


def test_manifests_are_merged_with_warnings(call: Call, tmp_path: Path) -> None:
    trees.mini_ddsm(tmp_path / "mini")
    trees.huang_lin(tmp_path / "huang")
    for name, folder in (("mini-ddsm", "mini"), ("huang-lin", "huang")):
        assert call("data", "import", name, folder, "--out", f"{folder}.csv")[0] == 0
    code, out, err = call("data", "merge", "mini.csv", "huang.csv", "--out", "both.csv")
    assert code == 0 and out.startswith("both.csv: 12 images of ")
    assert "warning: huang-lin and mini-ddsm hold images of the same women" in err
    code, _, err = call("data", "merge", "mini.csv", "--out", "one.csv")
    assert code == 1 and "at least two manifests" in err


def test_broken_importers_of_other_packages_are_listed(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        name, value = "archive", "a_package:IMPORTER"

        def load(self) -> object:
            raise ImportError("no\x1b[31m such module")

    monkeypatch.setattr(registry, "installed", lambda: [Broken()])
    code, out, _ = call("data", "importers")
    assert code == 0 and "archive\n    not usable: a_package:IMPORTER: cannot be loaded (ImportError: no\\x1b[31m such" in out
    listed = json.loads(call("data", "importers", "--json")[1])
    assert listed[-1]["name"] == "archive" and "cannot be loaded" in listed[-1]["error"] and len(listed) == 15
