import gzip
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_runtime.fetch.files.tar_stream import Gunzip, Member, TarError, TarStream
from modelservice_runtime.fetch.oci.files import LayerKind, classify

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def make_tar(files: dict[str, bytes], kind: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def read_tar(pieces: list[bytes]) -> dict[str, bytes]:
    found: dict[str, bytearray] = {}

    def open_member(member: Member):
        if not member.is_file:
            return None
        found[member.path] = bytearray()
        return found[member.path].extend

    stream = TarStream(open_member)
    for piece in pieces:
        stream.feed(piece)
    stream.finish()
    return {name: bytes(data) for name, data in found.items()}


def split(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@given(
    st.dictionaries(
        st.text(st.sampled_from("abü /"), min_size=1, max_size=300).filter(lambda name: name.strip("/ ")),
        st.binary(max_size=1200),
        max_size=4,
    ),
    st.sampled_from(FORMATS[1:]),
    st.integers(1, 1500),
    st.booleans(),
)
def test_tar_stream_reads_what_tarfile_writes_in_any_pieces(files, kind, size, compressed):
    files = {name.strip("/"): data for name, data in files.items()}
    archive = make_tar(files, kind)
    if compressed:
        gunzip = Gunzip()
        pieces = [part for piece in split(gzip.compress(archive), size) for part in gunzip.feed(piece)]
    else:
        pieces = split(archive, size)
    assert read_tar(pieces) == files


@pytest.mark.parametrize("kind", FORMATS)
def test_tar_stream_reads_every_format(kind):
    files = {"folder/" * 20 + "model.onnx": b"\x08\x08" * 700, "empty": b""}
    assert read_tar([make_tar(files, kind)]) == files


def test_tar_stream_passes_links_devices_and_folders():
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for number, kind in enumerate(
            (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
        ):
            info = tarfile.TarInfo(f"special{number}")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("file")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
    assert read_tar([stream.getvalue()]) == {"file": b"abc"}


@pytest.mark.parametrize(
    "archive",
    [
        make_tar({"a": b"x" * 5000})[:3000],
        make_tar({"a": b"x"})[:300],
        make_tar({"a": b"x"})[:512] + b"y" * 512 + b"z" * 512,
        b"\x01" * 512,
    ],
)
def test_tar_stream_damage_is_refused(archive):
    with pytest.raises(TarError):
        read_tar([archive])


def test_tar_stream_sparse_file_is_refused():
    info = tarfile.TarInfo("sparse")
    info.type = tarfile.GNUTYPE_SPARSE
    with pytest.raises(TarError, match="--sparse"):
        read_tar([info.tobuf(tarfile.GNU_FORMAT)])


def test_tar_stream_endless_name_is_refused():
    info = tarfile.TarInfo("@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**40
    with pytest.raises(TarError, match="64 KiB"):
        read_tar([info.tobuf(tarfile.GNU_FORMAT)])


def make_pax(body: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    info = tarfile.TarInfo("pax")
    info.type, info.size = kind, len(body)
    return info.tobuf(tarfile.USTAR_FORMAT) + body + bytes(-len(body) % 512)


def test_tar_stream_pax_header_is_read_up_to_64_kib():
    filling = b"6 a=b\n" * (65_000 // 6)
    archive = make_pax(filling + b"10 path=x\n") + make_tar({"y": b"data"})
    assert read_tar([archive]) == {"x": b"data"}
    with pytest.raises(TarError, match="64 KiB"):
        read_tar([make_pax(filling * 2)[:512]])


@pytest.mark.parametrize(
    "body",
    [b"6 a=b", b"6 a=bc", b"4 a=b\n", b"7 a=b\n", b"a=b\n", b"6 abc\n", b"0 a=b\n", b"+6 a=\n", b"6  a=b\n"],
)
def test_tar_stream_damaged_pax_header_is_refused(body):
    with pytest.raises(TarError, match="pax"):
        read_tar([make_pax(body)])


def test_tar_stream_keeps_no_more_than_it_needs_of_global_headers():
    stream = TarStream(lambda _: None)
    for number in range(1000, 1200):
        stream.feed(make_pax(b"11 k%d=x\n" % number + b"21 GNU.sparse.%d=x\n" % number, tarfile.XGLTYPE))
    assert len(stream._global) == 1


def test_gunzip_gives_bounded_pieces_of_several_members():
    data = bytes(5_000_000)
    pieces = list(Gunzip().feed(gzip.compress(data) + gzip.compress(b"end")))
    assert b"".join(pieces) == data + b"end"
    assert max(map(len, pieces)) <= 64 * 1024


def test_gunzip_damage_is_refused():
    with pytest.raises(TarError, match="gzip"):
        list(Gunzip().feed(b"\x1f\x8b\x08\x00" + b"\xff" * 100))


@given(st.binary(max_size=2000))
def test_tar_stream_any_bytes_are_read_or_refused(data):
    try:
        read_tar([data])
    except TarError:
        return


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (make_tar({"model.onnx": b"x" * 9000})[:4096], LayerKind.ARCHIVE),
        (make_tar({})[:4096], LayerKind.ARCHIVE),
        (gzip.compress(make_tar({"model.onnx": b"x" * 9000}), mtime=0), LayerKind.ARCHIVE),
        (gzip.compress(b"\x08\x08onnx" * 500, mtime=0), LayerKind.FILE),
        (b"\x28\xb5\x2f\xfd" + bytes(600), LayerKind.ZSTD),
        (b"\x08\x08" + b"onnx" * 1000, LayerKind.FILE),
        (b"\x1f\x8b" + b"damaged" * 100, LayerKind.FILE),
        (b"", LayerKind.FILE),
    ],
)
def test_classify_tells_a_layer_by_its_bytes(head, kind):
    assert classify(head) is kind
