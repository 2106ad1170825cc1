"""Checkpoints: whole or not at all, refused with a sentence when altered, never executed."""

from __future__ import annotations

import errno
import json
import os
import pickle
import struct

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gan_book import checkpoints as files
from gan_book.errors import GanBookError

EXAMPLES = int(os.environ.get("GAN_BOOK_FUZZ", "500"))


def sample() -> dict[str, torch.Tensor]:
    return {
        "weight": torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last),
        "step": torch.tensor(7),
        "rng": torch.Generator().get_state(),
        "half": torch.randn(5).half(),
        "empty": torch.zeros(0, 3),
    }


def test_round_trip_is_exact(tmp_path):
    tensors = sample()
    files.save_tensors(tmp_path / "a.safetensors", tensors, {"step": 7, "text": "é"})
    back, meta = files.load_tensors(tmp_path / "a.safetensors")
    assert meta == {"step": 7, "text": "é"}
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back[name].dtype == tensor.dtype
        assert torch.equal(back[name], tensor)
    assert not list(tmp_path.glob(".*"))


def test_digest_sees_name_shape_dtype_and_bytes():
    base = {"a": torch.arange(6, dtype=torch.int32)}
    variants = [
        {"b": base["a"]},
        {"a": base["a"].reshape(2, 3)},
        {"a": base["a"].view(torch.float32)},
        {"a": base["a"] + torch.tensor([0, 0, 0, 0, 0, 1], dtype=torch.int32)},
    ]
    digests = {files.digest(t) for t in [base, *variants]}
    assert len(digests) == 5
    assert files.digest({"a": base["a"].clone()}) in digests


@pytest.mark.parametrize("moment", ["write", "flush", "rename"])
def test_full_disk_keeps_the_old_file(tmp_path, monkeypatch, moment):
    path = tmp_path / "a.safetensors"
    files.save_tensors(path, sample(), {"step": 1})
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if moment == "write":
        real_open = open

        def broken_open(name, mode="r", *a, **k):  # only the temporary file cannot be written
            if str(name).endswith(".tmp"):
                full()
            return real_open(name, mode, *a, **k)

        monkeypatch.setattr("builtins.open", broken_open)
    else:
        monkeypatch.setattr(os, {"flush": "fsync", "rename": "replace"}[moment], full)
    with pytest.raises(GanBookError, match=r"No space left.*still there"):
        files.save_tensors(path, sample(), {"step": 2})
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_every_cut_and_every_flipped_byte_is_noticed(tmp_path):
    path = tmp_path / "a.safetensors"
    files.save_tensors(path, {"w": torch.arange(8.0)}, {"step": 1})
    good = path.read_bytes()
    for length in range(0, len(good), 7):
        path.write_bytes(good[:length])
        with pytest.raises(GanBookError):
            files.load_tensors(path)
    header_end = 8 + struct.unpack("<Q", good[:8])[0]
    for place in range(header_end, len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(GanBookError, match="checksum"):
            files.load_tensors(path)


class Evil:
    """Unpickling this would leave a mark."""

    def __reduce__(self):
        return (os.system, ("touch executed",))


def test_code_in_a_file_is_never_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.safetensors"
    for data in (pickle.dumps(Evil()), b"PK\x03\x04" + pickle.dumps({"a": Evil()})):
        path.write_bytes(data)
        with pytest.raises(GanBookError):
            files.load_tensors(path)
    torch.save({"a": Evil()}, path)
    with pytest.raises(GanBookError):
        files.load_tensors(path)
    assert not (tmp_path / "executed").exists()


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_hostile_bytes_get_a_sentence(tmp_path_factory, data):
    """A valid file with a stretch overwritten, a forged header, or plain noise: a sentence each."""
    folder = tmp_path_factory.getbasetemp()
    path = folder / "fuzz.safetensors"
    good = folder / "good.safetensors"
    if not good.exists():
        files.save_tensors(good, {"w": torch.arange(8.0), "b": torch.zeros(2)}, {"step": 1})
    kind = data.draw(st.sampled_from(["overwrite", "header", "noise"]))
    content = bytearray(good.read_bytes())
    if kind == "noise":
        content = bytearray(data.draw(st.binary(max_size=200)))
    elif kind == "overwrite":
        start = data.draw(st.integers(0, len(content) - 1))
        junk = data.draw(st.binary(min_size=1, max_size=20))
        content[start : start + len(junk)] = junk
    else:
        entry = data.draw(
            st.fixed_dictionaries(
                {
                    "dtype": st.sampled_from(["F32", "I64", "BOOL", "X9", ""]),
                    "shape": st.lists(st.integers(-(2**63), 2**63), max_size=3),
                    "data_offsets": st.lists(st.integers(-5, 2**62), min_size=2, max_size=2),
                }
            )
        )
        meta = data.draw(st.dictionaries(st.sampled_from(["format", "meta", "sha256"]), st.text()))
        text = json.dumps({"w": entry, "__metadata__": meta}).encode()
        content = bytearray(struct.pack("<Q", len(text)) + text + bytes(32))
    path.write_bytes(content)
    if bytes(content) == good.read_bytes():
        return
    try:
        tensors, meta = files.load_tensors(path)
    except GanBookError:
        return
    # what loads in spite of a changed byte must be the same tensors: only "meta" is outside the sum
    assert files.digest(tensors) == files.digest(files.load_tensors(good)[0])


def test_copy_into_checks_names_shapes_and_dtypes():
    net = torch.nn.Linear(3, 2)
    state = {k: v.clone() for k, v in net.state_dict().items()}
    pointers = [p.data_ptr() for p in net.parameters()]
    files.copy_into(net.state_dict(), {k: v + 1 for k, v in state.items()}, "It")
    assert torch.equal(net.bias, state["bias"] + 1)
    assert [p.data_ptr() for p in net.parameters()] == pointers
    for change, needle in (
        ({"weight": state["weight"]}, "lacks 'bias'"),
        ({**state, "extra": state["bias"]}, "unexpected 'extra'"),
        ({**state, "bias": torch.zeros(3)}, r"\[3\]"),
        ({**state, "bias": state["bias"].double()}, "float64"),
    ):
        with pytest.raises(GanBookError, match=needle):
            files.copy_into(net.state_dict(), change, "It")


def test_optimizer_round_trip_in_the_parameters_own_layout():
    net = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    names = [n for n, _ in net.named_parameters()]
    adam = torch.optim.Adam(net.parameters(), fused=True)
    assert files.optimizer_tensors(adam, names) == {}
    net(torch.randn(1, 3, 5, 5)).sum().backward()
    adam.step()
    saved = {k: v.contiguous() for k, v in files.optimizer_tensors(adam, names).items()}
    fresh = torch.optim.Adam(net.parameters(), fused=True)
    files.load_optimizer(fresh, names, saved, "It")
    again = files.optimizer_tensors(fresh, names)
    assert all(torch.equal(again[k], saved[k]) for k in saved)
    assert again["weight:exp_avg"].is_contiguous(memory_format=torch.channels_last)
    for broken in (
        {**saved, "nobody:step": saved["bias:step"]},
        {**saved, "bias:exp_avg": torch.zeros(9)},
        {k: v for k, v in saved.items() if k != "bias:exp_avg"},
        {k: v for k, v in saved.items() if not k.startswith("bias")},
    ):
        with pytest.raises(GanBookError):
            files.load_optimizer(fresh, names, broken, "It")


def test_a_damaged_later_checkpoint_never_pushes_out_the_good_one(tmp_path):
    for step in (8, 12):
        files.save_tensors(files.checkpoint_path(tmp_path, step), {}, {"step": step})
    files.checkpoint_path(tmp_path, 30).write_bytes(b"torn")
    files.retain(tmp_path, 1, files.checkpoint_path(tmp_path, 12))
    assert [int(p.stem[5:]) for p in files.checkpoint_files(tmp_path)] == [12, 30]


def test_newest_readable_checkpoint_and_retention(tmp_path):
    assert files.newest_checkpoint(tmp_path) is None
    for step in (1, 2, 30, 1000):
        files.save_tensors(files.checkpoint_path(tmp_path, step), {}, {"step": step})
    leftover = tmp_path / ".step-000000005.safetensors.999999999.tmp"
    leftover.write_bytes(b"half")
    files.retain(tmp_path, 2, files.checkpoint_path(tmp_path, 1000))
    files.remove_leftovers(tmp_path)
    assert [p.name for p in files.checkpoint_files(tmp_path)] == [
        "step-000000030.safetensors",
        "step-000001000.safetensors",
    ]
    assert not leftover.exists()
    files.checkpoint_path(tmp_path, 1000).write_bytes(b"cut")
    with pytest.warns(UserWarning, match=r"Going back to step-000000030"):
        found = files.newest_checkpoint(tmp_path)
    assert found is not None
    assert found[1] == {"step": 30}
    files.checkpoint_path(tmp_path, 30).write_bytes(b"")
    with pytest.raises(GanBookError, match="No checkpoint"):
        files.newest_checkpoint(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\x00"])
def test_damaged_json_gets_a_sentence(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(GanBookError):
        files.read_json(tmp_path / "a.json")
    with pytest.raises(GanBookError, match="cannot be read"):
        files.read_json(tmp_path / "none.json")
