"""What torch.save wrote, read without running anything: the same values as torch's own reader, and no harm from others."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import re
import struct
import zipfile
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import ModelConfig
from core.errors import MissingWeights
from core.model import build_model, check_weights
from core.model.stored import DamagedFile
from core.model.torch_file import read_torch_file
from core.model.torch_pickle import CONSTRUCTORS, STAND_INS, PickleCheck, Unread

NAME = "resnet10t"


def _saved(content: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def _read(content: bytes) -> Any:
    return read_torch_file(io.BytesIO(content))


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, torch.Tensor):
        return ours.dtype == theirs.dtype and torch.equal(ours, theirs)
    if isinstance(theirs, dict):
        return list(ours) == list(theirs) and all(_same(ours[key], theirs[key]) for key in theirs)
    if isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    return bool(ours == theirs)


def _trained() -> dict[str, Any]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(36, 1))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.rand(2, 1, 5, 5)).sum().backward()
    optimizer.step()
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "best": 0.5,
        "name": "x",
        "none": None,
    }


def _marked(parameter: torch.nn.Parameter) -> torch.nn.Parameter:
    parameter.lr_scale = 0.5
    return parameter


CONTENTS = {
    "a training": _trained(),
    "types": [torch.ones(2, dtype=each) for each in (torch.float64, torch.half, torch.bfloat16, torch.int8, torch.bool)],
    "parts of one storage": (lambda t: [t, t[2:5], t.reshape(3, 4).T, t[::3]])(torch.arange(12.0)),
    "channels last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "no elements": torch.zeros(0, 3),
    "one number": torch.tensor(2.5),
    "a parameter": torch.nn.Parameter(torch.rand(3)),
    "an ordered dictionary": OrderedDict(a=torch.ones(1), b=(1, [2.5, True, None])),
    "a size": torch.Size([1, 2]),
    "large and negative integers": [2**40, -(2**70), 0, -1],
    "counts, sets and bytes": [Counter({30: 1}), {1, 2}, b"bytes \xff", 1 + 2j, torch.device("cpu")],
    "a parameter with attributes": _marked(torch.nn.Parameter(torch.rand(3))),
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_it_gives_what_torch_gives(content: Any, zipped: bool) -> None:
    saved = _saved(content, _use_new_zipfile_serialization=zipped)
    assert _same(_read(saved), torch.load(io.BytesIO(saved), weights_only=True))


def test_the_layout_in_memory_is_kept() -> None:
    assert _read(_saved(CONTENTS["channels last"])).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_other_protocols_of_pickle_than_torchs_own_are_named(protocol: int) -> None:
    with pytest.raises(DamagedFile, match=f"pickle_protocol={protocol}: save it again"):
        _read(_saved({"a": torch.ones(2)}, pickle_protocol=protocol))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_plain_objects_of_trainers_leave_the_tensors_readable(zipped: bool) -> None:
    others = {
        "hyper": {"lr": np.float64(1e-3), "array": np.ones(3), "type": np.dtype("f4"), "whole": np.int64(3)},
        "arguments": argparse.Namespace(epochs=3, more=argparse.Namespace(a=[1])),
        "groups": defaultdict(list, a=[1]),
        "path": Path("x"),
    }
    found = _read(_saved({"state_dict": {"w": torch.ones(2)}, **others}, _use_new_zipfile_serialization=zipped))
    assert torch.equal(found["state_dict"]["w"], torch.ones(2))
    assert isinstance(found["hyper"]["lr"], Unread) and isinstance(found["arguments"], Unread) and found["groups"] == {"a": [1]}
    assert not vars(found["arguments"])
    assert not any(isinstance(each, tuple) for each in torch.serialization.get_safe_globals())  # no other reader knows them


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"w": torch.ones(2), "module": torch.nn.Linear(2, 2)}, r"\(torch\.nn\.modules\.linear\.Linear\)"),
        ({"w": torch.ones(2), "error": ValueError("x")}, r"\(\w+\.ValueError\)"),
        (
            [torch.nn.Linear, torch.nn.ReLU, torch.nn.GELU, torch.nn.SELU, torch.nn.Mish, torch.nn.SiLU],
            r"ReLU, .* and 2 more\)",
        ),
        ({"w": torch.ones(2).to_sparse()}, r"\(torch\._utils\._rebuild_sparse_tensor"),
        (bytearray(b"x"), r"\(builtins\.bytearray\)"),
        (torch.ones(2, dtype=torch.complex64), r"\(torch\.ComplexFloatStorage\)"),
    ],
    ids=range(6),
)
def test_other_objects_are_named(content: Any, said: str, zipped: bool) -> None:
    with pytest.raises(DamagedFile, match="it holds objects besides tensors and plain values .*" + said):
        _read(_saved(content, _use_new_zipfile_serialization=zipped))


def test_what_is_taken_for_known_torchs_reader_knows_too() -> None:
    known = torch._weights_only_unpickler._get_allowed_globals()
    assert known.keys() >= CONSTRUCTORS and not STAND_INS.keys() & known.keys()


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_names_and_storages_are_found_as_torch_finds_them(content: Any) -> None:
    saved = _saved({"content": content, "other": torch.nn.Linear(2, 2), "numbers": np.ones(2)})
    with zipfile.ZipFile(io.BytesIO(saved)) as archive:
        check = PickleCheck()
        check.read(io.BytesIO(archive.read("archive/data.pkl")))
        members = {name.rpartition("/")[2] for name in archive.namelist() if "/data/" in name}
    unsafe = set(torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(saved)))
    assert set(check.unknown) == unsafe - STAND_INS.keys()
    assert check.storages.keys() == members


def test_a_flipped_byte_of_the_values_is_noticed() -> None:
    content = bytearray(_saved({"w": torch.full((1000,), 7.0)}))
    place = content.index(torch.full((100,), 7.0).numpy().tobytes())
    content[place + 50] ^= 1
    with pytest.raises(DamagedFile, match="check sum"):
        _read(bytes(content))


def test_several_threads_read_at_once() -> None:
    saved = _saved({"w": torch.ones(2), "arguments": argparse.Namespace(a=1), "numbers": [np.float64(1)] * 50})
    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(each["w"], torch.ones(2)) for each in pool.map(_read, [saved] * 40))


def test_a_file_larger_than_the_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.pth"
    path.write_bytes(_saved({"w": torch.ones(2)}))
    with path.open("r+b") as stream:
        stream.truncate(1 << 43)
    with pytest.raises(MissingWeights, match=r"GiB of memory.*Close other programs"):
        check_weights(ModelConfig(name=NAME, weights=str(path)))


# ---------------------------------------------------------------------- attacks


class _Call:
    """Pickled as a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.arguments


def _rezipped(content: bytes, change: Any = None, **options: Any) -> bytes:
    """The same archive with members changed by `change(name, content)`, or compressed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(stream, "w", **options) as target:
        for name in source.namelist():
            member = source.read(name)
            target.writestr(name, change(name, member) if change else member)
    return stream.getvalue()


def _with_pickle(program: bytes) -> bytes:
    """An archive whose data.pkl is `program`."""
    return _rezipped(_saved({"w": torch.ones(4)}), lambda name, member: program if name.endswith("data.pkl") else member)


def _claiming(*claims: tuple[bytes, bytes]) -> bytes:
    """An archive of four ones whose pickle says something else."""

    def change(name: str, member: bytes) -> bytes:
        if not name.endswith("data.pkl"):
            return member
        for old, new in claims:
            assert old in member
            member = member.replace(old, new, 1)
        return member

    return _rezipped(_saved({"w": torch.ones(4)}), change)


def _legacy_claiming(old: bytes, new: bytes) -> bytes:
    assert old in _LEGACY
    return _LEGACY.replace(old, new, 1)


def _with_member(name: str) -> bytes:
    stream = io.BytesIO(_rezipped(_saved({"w": torch.ones(4)})))
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr(name, b"\x80\x02N.")
    return stream.getvalue()


def _many_members(count: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        for index in range(count):
            archive.writestr(f"archive/data/{index:020}", b"")
    return stream.getvalue()


_LEGACY = _saved({"w": torch.ones(4)}, _use_new_zipfile_serialization=False)


def _twice_in_the_list() -> bytes:
    """Of two storages, the second is never read: it would hold what the process has had in its memory."""
    saved = _saved([torch.ones(4), torch.zeros(4)], _use_new_zipfile_serialization=False)
    place = saved.rindex(b"\x80\x02]")
    first, second = (bytes(each) for each in re.findall(rb"X\x0f?.\0\0\0(\d+)", saved[place:])[:2])
    return saved[:place] + saved[place:].replace(second, first)


_NESTED_TUPLES = b"\x80\x02N" + b"\x85" * 1_000_000
_HUGE = b"\x8a\x08" + struct.pack("<q", 2**60)
_ENCODE = b"c_codecs\nencode\n"


def _memorised(value: bytes, again: bytes) -> bytes:
    """A pickle that makes `value` once, and `again` of it (memo 0) very often."""
    return b"\x80\x02" + value + b"q\x000" + b"(" + again * 100_000 + b"t."


def _list_of(count: int) -> bytes:
    return b"](" + b"K\x01" * count + b"e"


ATTACKS = {
    "deflated members": _rezipped(_saved({"w": torch.zeros(1 << 22)}), compression=zipfile.ZIP_DEFLATED),
    "more values than the storage": _claiming((b"K\x04t", b"J\x00\x00\x00\x10t")),
    "a shape beyond the storage": _claiming((b"K\x04\x85", b"J\x00\x00\x00\x10\x85")),
    "an offset beyond the storage": _claiming((b"QK\x00K\x04", b"QK\x05K\x04")),
    "a negative shape": _claiming((b"K\x04\x85", b"J\xff\xff\xff\xff\x85")),
    "a huge shape of stride 0": _claiming((b"K\x04\x85", _HUGE + b"\x85"), (b"K\x01\x85", b"K\x00\x85")),
    "a larger shape of stride 0": _claiming((b"K\x04\x85", b"K\x05\x85"), (b"K\x01\x85", b"K\x00\x85")),
    "a shape whose product overflows": _claiming((b"K\x04\x85", (_HUGE * 2) + b"\x86"), (b"K\x01\x85", b"K\x00K\x00\x86")),
    "a huge bytearray": _with_pickle(b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"."),
    "a huge text": _with_pickle(b"\x80\x04\x8d" + struct.pack("<Q", 1 << 40) + b"."),
    "a huge frame": _with_pickle(b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"."),
    "a memo of 2^32": _with_pickle(b"\x80\x02Nr\xff\xff\xff\xff" * 1000),
    "deep lists": _with_pickle(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."),
    "a list in itself": _with_pickle(b"\x80\x02]q\x00h\x00a."),
    "nested tuples as a key": _with_pickle(b"\x80\x02}" + _NESTED_TUPLES[2:] + b"Ns."),
    "nested tuples in a set": _with_pickle(b"\x80\x04\x8f(" + _NESTED_TUPLES[2:] + b"\x90."),
    "nested tuples in a frozen set": _with_pickle(b"\x80\x04(" + _NESTED_TUPLES[2:] + b"\x91."),
    "a long number": _with_pickle(b"\x80\x02I" + b"9" * 100_000 + b"\n."),
    "extensions": _with_pickle(b"\x80\x02\x82\x01."),
    "no stop": _with_pickle(b"\x80\x02}"),
    "an empty stack": _with_pickle(b"\x80\x02R."),
    "a missing storage": _claiming((b"X\x01\x00\x00\x000", b"X\x01\x00\x00\x009")),
    "a huge pickle": _with_pickle(b"\x80\x02" + b"N" * (9 << 20) + b"."),
    "legacy: more values than the file": _legacy_claiming(b"K\x04Nt", b"J\x00\x00\x00\x70Nt"),
    "legacy: cut short": _LEGACY[:-3],
    "legacy: a pickle only": pickle.dumps({"w": 1}),
    "legacy: keys that are nested tuples": _LEGACY[: _LEGACY.rindex(b"\x80\x02]")] + b"\x80\x02](" + _NESTED_TUPLES[2:] + b"e.",
    "copies of a list as sets": _with_pickle(_memorised(_list_of(50_000), b"cbuiltins\nset\nh\x00\x85R")),
    "copies of a list as sizes": _with_pickle(_memorised(_list_of(50_000), b"ctorch\nSize\nh\x00\x85R")),
    "copies of a list by NEWOBJ": _with_pickle(_memorised(_list_of(50_000), b"ctorch\nSize\nh\x00\x85\x81")),
    "copies of a dictionary": _with_pickle(
        _memorised(
            b"}(" + b"".join(b"M" + struct.pack("<H", n) + b"N" for n in range(50_000)) + b"u",
            b"ccollections\nCounter\nh\x00\x85R",
        )
    ),
    "copies as attributes": _with_pickle(
        _memorised(
            b"}(" + b"".join(b"X\x02\0\0\0%02dN" % (n % 100) for n in range(50_000)) + b"u",
            b"ccollections\nOrderedDict\n)Rh\x00b",
        )
    ),
    "copies of a text": _with_pickle(
        _memorised(b"X" + struct.pack("<I", 1 << 20) + b"x" * (1 << 20), _ENCODE + b"h\x00X\x06\0\0\0latin1\x86R")
    ),
    "a slow encoding": _with_pickle(
        b"\x80\x02" + _ENCODE + b"X" + struct.pack("<I", 1 << 20) + "äö".encode() * (1 << 18) + b"X\x04\0\0\0idna\x86R."
    ),
    "a bytearray of a number": _with_pickle(b"\x80\x02cbuiltins\nbytearray\n\x8a\x06\0\0\0\0\0\x01\x85R."),
    "a storage of a number": _with_pickle(b"\x80\x02ctorch.storage\nUntypedStorage\n\x8a\x06\0\0\0\0\0\x01\x85R."),
    "a tensor of a number": _with_pickle(b"\x80\x02ctorch\nFloatTensor\n\x8a\x06\0\0\0\0\0\x01\x85R."),
    "a dictionary in itself": _with_pickle(b"\x80\x02}q\x00K\x01h\x00s."),
    "deep dictionaries": _with_pickle(b"\x80\x02" + b"}K\x01" * 100_000 + b"N" + b"s" * 100_000 + b"."),
    "entangled tuples as a key": _with_pickle(b"\x80\x02}K\x01" + b"q\x00h\x00\x86" * 45 + b"Ns."),
    "entangled tuples in a set": _with_pickle(b"\x80\x02cbuiltins\nset\n]K\x01" + b"q\x00h\x00\x86" * 45 + b"a\x85R."),
    "entangled tuples in a message": _with_pickle(
        b"\x80\x02ctorch._utils\n_rebuild_parameter_with_state\n(ctorch\nSize\n)RN}K\x01" + b"q\x00h\x00\x86" * 45 + b"tR."
    ),
    "lists that are filled afterwards": _with_pickle(b"\x80\x02]q\x00" + b"]q\x01h\x00h\x01ah\x01a0h\x01q\x00" * 45 + b"."),
    "more behind the archive": _saved({"w": torch.ones(4)}) + b"more",
    "two archives": _saved({"w": torch.ones(4)}) + _rezipped(_saved({"w": torch.ones(4)})),
    "a comment": _saved({"w": torch.ones(4)})[:-2] + b"\x04\x00more",
    "names that differ in case": _with_member("archive/DATA.PKL"),
    "names with a NUL": _with_member("archive/data.pkl_more").replace(b"data.pkl_more", b"data.pkl\0more"),
    "many members": partial(_many_members, 60_000),
    "an archive cut short": _saved({"w": torch.ones(4)})[:-30],
    "legacy: a storage of 2^40 values": _legacy_claiming(b"K\x04Nt", b"\x8a\x06\0\0\0\0\0\x01Nt"),
    "legacy: a shape beyond the storage": _legacy_claiming(b"K\x04\x85", b"J\x00\x00\x00\x10\x85"),
    "legacy: a huge shape of stride 0": _legacy_claiming(b"K\x04\x85q\x08K\x01\x85", _HUGE + b"\x85q\x08K\x00\x85"),
    "legacy: a storage that is not in the list": _LEGACY[: _LEGACY.rindex(b"\x80\x02]")] + b"\x80\x02].",
    "legacy: a storage twice in the list": _twice_in_the_list(),
    "legacy: a class of modules": _legacy_claiming(b"(X\x07\0\0\0storage", b"(X\x06\0\0\0module"),
    "legacy: a storage of -1 values": _legacy_claiming(b"K\x04Nt", b"J\xff\xff\xff\xffNt"),
    "no torch archive": _rezipped(_saved(1), lambda name, member: member).replace(b"data.pkl", b"data.pkm"),
}


@pytest.mark.slow_for(
    "copies as attributes",
    "copies of a list as sets",
    "copies of a list as sizes",
    "copies of a list by NEWOBJ",
    "deep dictionaries",
    "deep lists",
    "many members",
)
@pytest.mark.parametrize("content", ATTACKS.values(), ids=ATTACKS.keys())
@pytest.mark.timeout(60)
def test_an_attack_ends_in_words_and_costs_little(content: bytes | Callable[[], bytes]) -> None:
    content = content if isinstance(content, bytes) else content()
    before = psutil.Process().memory_info().rss
    with pytest.raises(DamagedFile) as caught:
        _read(content)
    assert "weights_only" not in str(caught.value) and "safe_globals" not in str(caught.value)
    assert psutil.Process().memory_info().rss - before < 600 << 20


def test_entangled_values_are_read_once() -> None:
    knot: Any = [1]
    for _ in range(40):
        knot = [knot, knot]
    assert _read(_saved(knot))[0] is not None


def test_many_views_of_one_storage_are_refused_where_they_would_multiply_it() -> None:
    values = torch.zeros(1 << 16)
    assert len(_read(_saved([values[:] for _ in range(3)]))) == 3
    with pytest.raises(DamagedFile, match="many times"):
        _read(_saved([values[index:] for index in range(500)]))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    "call",
    [
        _Call(os.system, "echo executed > executed.txt"),
        _Call(eval, "open('executed.txt', 'w').close()"),
        _Call(exec, "open('executed.txt', 'w').close()"),
        _Call(open, "executed.txt", "w"),
        _Call(torch.load, "executed.txt"),
        _Call(torch.save, 1, "executed.txt"),
        _Call(bytearray, 1 << 42),
        _Call(torch.zeros, 1 << 42),
        _Call(getattr, _Call(__import__, "os"), "getcwd"),
    ],
    ids=["system", "eval", "exec", "open", "load", "save", "bytearray", "zeros", "import"],
)
def test_no_call_in_a_file_is_made(call: _Call, zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    places: list[Any] = [
        call,
        {"w": torch.ones(1), "call": call},
        {"w": call},
        [{1: (call,)}],
        torch.nn.Parameter(torch.ones(1)),
    ]
    places[-1].attribute = call
    for place in places:
        Path("evil.pth").write_bytes(_saved(place, _use_new_zipfile_serialization=zipped))
        with pytest.raises(MissingWeights, match=r"besides tensors and plain values \([\w.]+") as caught:
            check_weights(ModelConfig(name=NAME, weights="evil.pth"))
        assert "weights_only" not in str(caught.value)
    assert not Path("executed.txt").exists()


def test_objects_of_this_process_cannot_be_changed_by_a_file() -> None:
    """BUILD sets attributes: also of functions, where a reader hands them out."""
    from torch._utils import _rebuild_tensor_v2

    for name in ("__dict__", "__defaults__", "__kwdefaults__"):
        text = name.encode()
        program = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X" + struct.pack("<I", len(text)) + text + b"}s\x86b."
        before = (dict(vars(_rebuild_tensor_v2)), _rebuild_tensor_v2.__defaults__, _rebuild_tensor_v2.__kwdefaults__)
        with pytest.raises(DamagedFile):
            _read(_with_pickle(program))
        assert before == (vars(_rebuild_tensor_v2), _rebuild_tensor_v2.__defaults__, _rebuild_tensor_v2.__kwdefaults__)


def test_a_torchscript_program_is_named_and_not_run(tmp_path: Path) -> None:
    path = tmp_path / "scripted.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"scripted/{name}", b"\x80\x02}.")
    with pytest.raises(MissingWeights, match="TorchScript"):
        check_weights(ModelConfig(name=NAME, weights=str(path)))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 10**9), value=st.integers(0, 255), zipped=st.booleans(), cut=st.booleans())
def test_damage_anywhere_is_one_kind_of_error(place: int, value: int, zipped: bool, cut: bool) -> None:
    content = bytearray(_ZIPPED if zipped else _UNZIPPED)
    place %= len(content)
    content[place] = value
    try:
        _read(bytes(content[:place] if cut else content))
    except DamagedFile as error:
        assert "weights_only" not in str(error)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200))
def test_any_program_ends_in_values_or_one_kind_of_error(program: bytes) -> None:
    try:
        _read(_with_pickle(b"\x80\x02" + program))
    except DamagedFile as error:
        assert str(error)


_ZIPPED = _saved(_trained())
_UNZIPPED = _saved(_trained(), _use_new_zipfile_serialization=False)


# ---------------------------------------------------------------------- weights files


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return dict(build_model(ModelConfig(weights="none", name=NAME)).backbone.state_dict())


def _prefixed(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrap", "name"),
    [
        (lambda s: {"net": s, "acc": 91.0}, "w.pth"),
        (lambda s: {"model": {"state_dict": _prefixed("module.", s)}}, "w.pth"),
        (lambda s: {"checkpoint": {"weights": {"network": _prefixed("student.module.encoder.", s)}}}, "w.pth"),
        (lambda s: _prefixed("resnet.", s), "w.pth"),
        (lambda s: {**_prefixed("cnn.", s), "head.weight": torch.zeros(2, 512)}, "w.pth"),
        (lambda s: {**_prefixed("0.", s), "1.weight": torch.zeros(2, 4)}, "w.pth"),
        (lambda s: {"state_dict": _prefixed("model.", s), "hyper_parameters": {"lr": np.float64(1)}}, "w.ckpt"),
        (lambda s: {"state_dict": _prefixed("module.", s), "best": torch.tensor(3.0)}, "best.pth.tar"),
        (lambda s: {"optimizer": {"state": {0: {"m": torch.ones(9)}}}, "model": s, "args": argparse.Namespace(a=1)}, "w.pt"),
        (lambda s: {"state_dict": s, "state_dict_ema": {n: t * 0 for n, t in s.items()}}, "w.pth"),
    ],
    ids=["net", "nested", "deep", "own class", "with head", "sequential", "lightning", "tar", "whole training", "average"],
)
def test_what_trainers_put_around_a_network_is_taken_off(
    wrap: Any, name: str, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save(wrap(state), tmp_path / name)
    built = build_model(ModelConfig(name=NAME, weights=str(tmp_path / name))).backbone.state_dict()
    assert torch.equal(built["layer4.0.conv2.weight"], state["layer4.0.conv2.weight"])


def _other(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor + 1 for name, tensor in state.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrap", "named"),
    [
        (lambda s: {"student": s, "teacher": _other(s)}, "'student', 'teacher'"),
        (lambda s: {"checkpoint": {"a": _prefixed("module.", s), "b": _other(s)}}, "'checkpoint.a', 'checkpoint.b'"),
        (lambda s: {"model": s, "state_dict": _other(s)}, "'model', 'state_dict'"),
        (lambda s: {**_prefixed("student.", s), **_prefixed("teacher.", _other(s))}, "'student', 'teacher'"),
        (lambda s: {"state_dict": {**_prefixed("q.", s), **_prefixed("k.", _other(s))}}, "'state_dict.q', 'state_dict.k'"),
    ],
    ids=["two", "nested", "two usual names", "one dictionary", "one wrapped dictionary"],
)
def test_a_file_of_several_networks_is_refused_with_their_names(
    wrap: Any, named: str, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save(wrap(state), tmp_path / "w.pth")
    with pytest.raises(MissingWeights, match=f"got 2 that fit: {named}. Choose one"):
        build_model(ModelConfig(name=NAME, weights=str(tmp_path / "w.pth")))


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"student": s, "teacher": {name: tensor.clone() for name, tensor in s.items()}},
        lambda s: {**_prefixed("ema.", _other(s)), **_prefixed("model.", s)},
        lambda s: {"student": s, "teacher": dict(list(s.items())[:10])},
    ],
    ids=["equal", "average in one dictionary", "only one fits"],
)
def test_a_file_that_leaves_no_choice_is_taken(wrap: Any, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(wrap(state), tmp_path / "w.pth")
    built = build_model(ModelConfig(name=NAME, weights=str(tmp_path / "w.pth"))).backbone.state_dict()
    assert torch.equal(built["layer4.0.conv2.weight"], state["layer4.0.conv2.weight"])


@pytest.mark.slow_for("dtype2")
@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32])
def test_quantised_weights_are_refused(dtype: torch.dtype, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    name = "layer4.0.conv2.weight"
    torch.save({**state, name: (state[name] * 100).to(dtype)}, tmp_path / "w.pth")
    kind = str(dtype).removeprefix("torch.")
    with pytest.raises(MissingWeights, match=f"{name}: expected floating-point values, got {kind}: a quantised network"):
        build_model(ModelConfig(name=NAME, weights=str(tmp_path / "w.pth")))


@pytest.mark.slow_for("0", "1", "12", "2")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"mean": torch.tensor(0.5), "std": torch.tensor(0.2)}, "only 0 of"),
        ({"model.": torch.ones(1)}, "only 0 of"),
        ({"module.": torch.ones(1), "module.module.": torch.ones(1)}, "only 0 of"),
        ({"." * 5000: torch.ones(1)}, "only 0 of"),
        ({"": torch.ones(1)}, "only 0 of"),
        ({1: torch.ones(1)}, "holds no named tensors"),
        ({"optimizer": {"state": {}}, "epoch": 3}, "got a dictionary of optimizer, epoch"),
        ([{"w": torch.ones(1)}] * 2, "got a list of 2 values"),
        (torch.ones(2, 3), r"one tensor without a name, of shape \[2, 3\]"),
        (
            torch.nn.Linear(2, 2),
            r"objects besides .* \(torch\.nn\.modules\.linear\.Linear\).*save the network's state dict alone",
        ),
        ({"model": torch.nn.Linear(2, 2)}, r"objects besides .* \(torch\.nn\.modules\.linear\.Linear\)"),
        ({"conv1.0.weight": torch.zeros(1).expand(10**6)}, "does not fit its storage"),
        ({"big": torch.zeros(60 << 20)}, "holds 240 MiB of tensors"),
    ],
    ids=range(13),
)
@pytest.mark.timeout(60)
def test_odd_dictionaries_are_refused_for_what_they_are(content: Any, said: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(MissingWeights, match=said) as caught:
        build_model(ModelConfig(name=NAME, weights=str(tmp_path / "odd.pth")))
    assert "weights_only" not in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="named pipes and devices of POSIX")
@pytest.mark.timeout(30)
def test_weights_may_be_behind_a_link_but_only_in_a_regular_file(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "blob")
    (tmp_path / "link.pth").symlink_to(tmp_path / "blob")
    check_weights(ModelConfig(name=NAME, weights=str(tmp_path / "link.pth")))
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "zero.pth").symlink_to("/dev/zero")
    (tmp_path / "circle.pth").symlink_to(tmp_path / "circle.pth")
    for name in ("pipe.pth", "zero.pth", "circle.pth"):
        with pytest.raises(MissingWeights, match=r"cannot be read|no such file"):
            check_weights(ModelConfig(name=NAME, weights=str(tmp_path / name)))
