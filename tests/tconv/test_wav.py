"""WAV files: floating point, extensible headers and other widths, with torch as the oracle; hostile headers."""

import struct
import wave

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import call
from torch.nn import functional as F  # noqa: N812

from upsample_cli.errors import ImageError
from upsample_cli.tconv.run.signals import read_wav

GUID = bytes.fromhex("000000001000800000aa00389b71")


@pytest.fixture
def tconv_here(capsys, monkeypatch):
    return lambda *arguments: call(capsys, monkeypatch, "run", *arguments)


def chunk(name, content):
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def wav(
    content, *, number=1, channels=1, bits=16, container=None, valid=None, mask=None, before=b"", after=b"", rate=8000
):
    """A WAV file; extensible with a mask."""
    width = (container or bits) // 8
    form = struct.pack("<HIIHH", channels, rate, rate * channels * width, channels * width, bits)
    if mask is None:
        form = struct.pack("<H", number) + form
    else:
        form = struct.pack("<H", 0xFFFE) + form + struct.pack("<HHIH", 22, valid or bits, mask, number) + GUID
    chunks = b"WAVE" + chunk(b"fmt ", form) + before + chunk(b"data", content) + after
    return chunk(b"RIFF", chunks)


def read(path):
    """The form, fields and samples of a WAV file, read independently of the package."""
    content = path.read_bytes()
    assert struct.unpack("<I", content[4:8])[0] == len(content) - 8
    found, at = {}, 12
    while at < len(content):
        name, length = struct.unpack("<4sI", content[at : at + 8])
        found[name] = content[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    return found


def doubled(frames):
    """(length, channels) enlarged twice by torch, edges repeated."""
    x = torch.from_numpy(np.ascontiguousarray(frames.T)).double()[None]
    return F.interpolate(x, scale_factor=2, mode="linear", align_corners=False)[0].numpy().T


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_floating_point_sound_keeps_its_type(dtype, extensible, tconv_here, tmp_path):
    frames = np.random.default_rng(0).uniform(-2, 2, (301, 2)).astype(dtype)  # also beyond 1: values are not clamped
    width = frames.itemsize
    more = {"mask": 3} if extensible else {}
    (tmp_path / "in.wav").write_bytes(wav(frames.tobytes(), number=3, channels=2, bits=8 * width, **more))
    status, out, err = tconv_here(tmp_path / "in.wav", "-f", "2", "-o", tmp_path / "out.wav")
    assert (status, err) == (0, "")
    assert "2x301 -> 2x602" in out
    found = read(tmp_path / "out.wav")
    samples = np.frombuffer(found[b"data"], dtype).reshape(-1, 2)
    np.testing.assert_allclose(samples, doubled(frames), rtol=0, atol=1e-6 if width == 4 else 1e-15)
    assert struct.unpack("<I", found[b"fact"]) == (602,)
    form = struct.unpack("<HHIIHH", found[b"fmt "][:16])
    assert form == (0xFFFE if extensible else 3, 2, 16000, 32000 * width, 2 * width, 8 * width)
    assert found[b"fmt "][16:] == ((wav(b"", number=3, bits=8 * width, mask=3)[36:60]) if extensible else b"\0\0")
    assert tconv_here(tmp_path / "in.wav", "-f", "2", "-o", tmp_path / "out.npy")[0] == 0
    array = np.load(tmp_path / "out.npy")
    assert array.dtype == np.dtype(dtype)
    assert np.array_equal(array.T, samples)


@pytest.mark.parametrize(("container", "bits"), [(8, 8), (16, 12), (16, 16), (24, 20), (24, 24), (32, 24), (32, 32)])
@pytest.mark.parametrize("extensible", [False, True])
def test_integers_of_any_width_are_exact(container, bits, extensible, tconv_here, tmp_path):
    """Samples are in the upper bits of their container and stay there."""
    unused, width = container - bits, container // 8
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    frames = np.random.default_rng(bits).integers(least, most + 1, (99, 2))
    frames[10:12] = [[least, most], [most, least]]
    offset = 128 if width == 1 else 0
    content = b"".join(
        int((n << unused) + offset).to_bytes(width, "little", signed=width > 1) for n in frames.reshape(-1)
    )
    header = {"bits": container, "valid": bits, "mask": 3} if extensible else {"bits": bits, "container": container}
    (tmp_path / "in.wav").write_bytes(wav(content, channels=2, **header))
    status, _, err = tconv_here(tmp_path / "in.wav", "-f", "2", "-o", tmp_path / "out.wav")
    assert (status, err) == (0, "")
    data = read(tmp_path / "out.wav")[b"data"]
    numbers = [
        (int.from_bytes(data[i : i + width], "little", signed=width > 1) - offset) / 2**unused
        for i in range(0, len(data), width)
    ]
    assert np.array_equal(np.reshape(numbers, (-1, 2)), np.floor(doubled(frames) + 0.5))
    before, after = read(tmp_path / "in.wav")[b"fmt "], read(tmp_path / "out.wav")[b"fmt "]
    assert before[:4] + before[12:] == after[:4] + after[12:]
    assert (tconv_here(tmp_path / "in.wav", "-f", "1", "-o", tmp_path / "same.wav"))[0] == 0
    assert (tmp_path / "same.wav").read_bytes() == (tmp_path / "in.wav").read_bytes()


def test_bits_beyond_the_stated_width_are_kept(tmp_path):
    """A header that states 12 bits for 16-bit samples."""
    (tmp_path / "in.wav").write_bytes(wav(struct.pack("<4h", 1, 2, 3, 4), bits=12, container=16))
    signal = read_wav(tmp_path / "in.wav")
    assert (signal.sound.bits, signal.samples.tolist()) == (16, [[1, 2, 3, 4]])


def test_other_chunks_in_the_file_are_named(tconv_here, tmp_path):
    samples = struct.pack("<8h", *range(8))
    more = chunk(b"LIST", b"INFOINAM\4\0\0\0song") + chunk(b"JUNK", bytes(9)) + chunk(b"cue ", bytes(4))
    (tmp_path / "in.wav").write_bytes(wav(samples, before=more, after=chunk(b"id3 ", b"x")))
    status, _, err = tconv_here(tmp_path / "in.wav", "-f", "2", "-o", tmp_path / "out.wav")
    assert (status, err) == (0, "warning: chunks of the WAV file are left out: LIST, cue, id3\n")
    (tmp_path / "short.wav").write_bytes(wav(samples)[:-6])
    status, _, err = tconv_here(tmp_path / "short.wav", "-f", "2", "-o", tmp_path / "o.wav")
    assert (status, err) == (0, "warning: the file ends 3 samples too soon\n")
    streamed = wav(samples)[:40] + b"\xff" * 4 + samples
    (tmp_path / "streamed.wav").write_bytes(streamed)
    status, _, err = tconv_here(tmp_path / "streamed.wav", "-f", "2", "-o", tmp_path / "s.wav")
    assert (status, err) == (0, "")


def test_speaker_positions_are_left_out_if_the_number_of_channels_changes(tconv_here, tmp_path):
    (tmp_path / "in.wav").write_bytes(wav(struct.pack("<8h", *range(8)), channels=2, mask=3))
    torch.save({"weight": torch.ones(2, 1, 2)}, tmp_path / "w.pt")
    line = (tmp_path / "in.wav", "--weights", tmp_path / "w.pt", "-o", tmp_path / "out.wav")
    status, _, err = tconv_here(*line)
    assert (status, "the speakers of the channels are left out" in err) == (0, True)
    assert struct.unpack("<I", read(tmp_path / "out.wav")[b"fmt "][20:24]) == (0,)


def test_an_rf64_file_is_read(tmp_path):
    samples = struct.pack("<4h", 1, 2, 3, 4)
    plain = wav(samples)
    sizes = chunk(b"ds64", struct.pack("<QQQI", 2**33, len(samples), 4, 0))
    content = (
        b"RF64" + b"\xff" * 4 + b"WAVE" + sizes + plain[12:36] + b"data" + b"\xff" * 4 + samples + chunk(b"x   ", b"")
    )
    (tmp_path / "in.wav").write_bytes(content)
    assert read_wav(tmp_path / "in.wav").samples.tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("content", "message", "kind"),
    [
        (wav(bytes(8), number=7, bits=8), "its samples are mu-law (format 7)", "unsupported"),
        (wav(bytes(8), number=2, bits=8), "its samples are ADPCM (format 2)", "unsupported"),
        (wav(bytes(8), number=999), "coded in another way (format 999)", "unsupported"),
        (wav(bytes(8), number=3, bits=16), "floating-point samples of 16 bits", "unsupported"),
        (wav(bytes(8), number=1, mask=3).replace(GUID, bytes(14)), "coded in an unknown way", "unsupported"),
        (wav(bytes(8), bits=0), "its samples have no bits", "damaged"),
        (wav(bytes(8), channels=0), "it has no channels", "damaged"),
        (wav(b""), "holds no samples", "damaged"),
        (wav(bytes(8))[:30], "ends", "damaged"),
        (b"RIFX" + wav(bytes(8))[4:], "not a WAV file", "unsupported"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", bytes(4)), "it ends before its samples", "damaged"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", bytes(4)) + chunk(b"data", b"12"), "header is too short", "damaged"),
        (b"RIFF\0\0\0\0WAVE" + bytes(10**6), "it ends before its samples", "damaged"),
    ],
)
def test_unsupported_sounds_are_refused_by_name(content, message, kind, tmp_path):
    (tmp_path / "in.wav").write_bytes(content)
    with pytest.raises(ImageError, match=message.replace("(", r"\(").replace(")", r"\)")) as refused:
        read_wav(tmp_path / "in.wav")
    assert refused.value.failure.kind == kind


@settings(deadline=None, max_examples=300, derandomize=True)
@given(st.binary(max_size=120), st.integers(0, 60), st.booleans())
def test_any_bytes_give_a_sound_or_one_error(tmp_path_factory, noise, at, extensible):
    whole = wav(bytes(16), number=1, mask=3 if extensible else None)
    path = tmp_path_factory.mktemp("wav") / "in.wav"
    path.write_bytes(whole[:at] + noise + whole[at + len(noise) :])
    try:
        signal = read_wav(path)
    except ImageError:
        return
    assert signal.samples.size


def test_pythons_wave_module_reads_the_output(tconv_here, tmp_path):
    frames = np.arange(-8, 8, dtype=np.int16)
    (tmp_path / "in.wav").write_bytes(wav(frames.tobytes()))
    assert tconv_here(tmp_path / "in.wav", "-f", "2", "-o", tmp_path / "out.wav")[0] == 0
    with wave.open(str(tmp_path / "out.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (16000, 32)
