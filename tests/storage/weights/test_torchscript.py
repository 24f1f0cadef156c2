"""OpenAI's layout, read to the tensors that torch reads, without running what is in it."""

import pytest
import torch

from segtune.errors import WeightsError
from segtune.storage.weights import read_state

from .archive_files import OfficialClip, WritesWhenLoaded, rewrite, save_script

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("script") / "ViT.pt"
    return path, save_script(OfficialClip().half(), path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.bfloat16, torch.float64])
def test_tensors_are_those_that_torch_reads(tmp_path, dtype):
    expected = save_script(OfficialClip().to(dtype), tmp_path / "ViT.pt")
    state = read_state(tmp_path / "ViT.pt")
    assert state.keys() == expected.keys()
    assert state["visual.transformer.resblocks.1.attn.in_proj_weight"].dtype == dtype
    for name, value in expected.items():
        assert state[name].dtype == value.dtype, name
        assert torch.equal(state[name], value), name


def test_only_parameters_and_buffers_are_part_of_the_state(clip_file):
    state = read_state(clip_file[0])
    assert state["input_resolution"] == 8
    assert state["tied.weight"].data_ptr() == state["ln_final.weight"].data_ptr()
    assert not any(name.endswith("attn_mask") for name in state)


def test_strides_are_kept(tmp_path):
    module = torch.nn.Linear(3, 4)
    module.weight = torch.nn.Parameter(torch.randn(3, 4).T)
    expected = save_script(module, tmp_path / "strided.pt")
    state = read_state(tmp_path / "strided.pt")
    assert torch.equal(state["weight"], expected["weight"])
    assert state["weight"].stride() == (1, 4)


def test_code_in_an_archive_never_runs(tmp_path):
    target, path = tmp_path / "written.txt", tmp_path / "hostile.pt"
    torch.jit.script(WritesWhenLoaded(str(target))).save(str(path))
    target.unlink(missing_ok=True)
    torch.jit.load(str(path))
    assert target.is_file()  # the attack works on torch's own reader
    target.unlink()
    with pytest.raises(WeightsError, match="can only be unpacked by code") as error:
        read_state(path)
    assert not target.exists()
    assert "\n" not in str(error.value)
    assert "weights_only" not in str(error.value)


def test_code_hidden_from_the_listing_of_classes_does_not_run_either(tmp_path):
    target, path = tmp_path / "written.txt", tmp_path / "hostile.pt"
    torch.jit.script(WritesWhenLoaded(str(target))).save(str(path))
    target.unlink(missing_ok=True)
    hidden = rewrite(path, tmp_path / "hidden.pt", change={".py": lambda content: None})
    with pytest.raises(WeightsError, match="can only be unpacked by code"):
        read_state(hidden)
    assert not target.exists()


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (b"_rebuild_tensor_v2", b"_rebuild_qtensor__", "more than tensors"),
        (b"ctorch._utils\n", b"cos.path.path\n", "more than tensors"),
        (b"cpu", b"gp", "damaged"),
        (b"HalfStorage", b"LongStorage", "another length"),
    ],
)
def test_other_names_and_lengths_are_refused(clip_file, tmp_path, old, new, match):
    changed = rewrite(
        clip_file[0],
        tmp_path / "changed.pt",
        change={"data.pkl": lambda content: content.replace(old, new)},
    )
    with pytest.raises(WeightsError, match=match) as error:
        read_state(changed)
    assert "\n" not in str(error.value)


def test_missing_storages_and_missing_lists_are_refused(clip_file, tmp_path):
    for ending, match in (
        ("/data/3", "storage '3' is missing"),
        ("data.pkl", r"has no .*data\.pkl"),
    ):
        changed = rewrite(clip_file[0], tmp_path / "cut.pt", change={ending: lambda content: None})
        with pytest.raises(WeightsError, match=match):
            read_state(changed)


def test_an_archive_without_a_module(tmp_path, clip_file):
    changed = rewrite(
        clip_file[0], tmp_path / "empty.pt", change={"data.pkl": lambda content: b"\x80\x02}."}
    )
    with pytest.raises(WeightsError, match="no module"):
        read_state(changed)


def test_modules_inside_themselves_end(clip_file, tmp_path):
    """A module that holds itself has endlessly many names."""

    def looped(content: bytes) -> bytes:
        # memo 200 is the module itself, put there before its attributes are read
        start = content.index(b")\x81}(") + len(b")\x81")
        name = b"X\x04\x00\x00\x00self"
        return content[:start] + b"q\xc8}(" + name + b"h\xc8" + content[start + 2 :]

    changed = rewrite(clip_file[0], tmp_path / "loop.pt", change={"data.pkl": looped})
    with pytest.raises(WeightsError, match="nested too deeply"):
        read_state(changed)
