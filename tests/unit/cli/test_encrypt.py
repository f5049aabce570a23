"""`modelservice encrypt`: what it writes is what the fetcher reads."""

import hashlib
import stat
from pathlib import Path

import pytest
from tests.integration.fetch.fetch_models import WEIGHTS, make_model

from modelservice_cli.commands import run
from modelservice_runtime.fetch.age import decrypt, parse_identities

NAMED = make_model("weights/part 1.bin")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "m" / "weights").mkdir(parents=True)
    (tmp_path / "m" / "spam.onnx").write_bytes(NAMED)
    (tmp_path / "m" / "weights" / "part 1.bin").write_bytes(WEIGHTS)
    return tmp_path


def make_key(folder: Path, capsys: pytest.CaptureFixture[str], name: str = "key.txt") -> str:
    assert run(["encrypt", "--new-key", "--key-file", str(folder / name)]) == 0
    return capsys.readouterr().out.strip()


def unseal(path: Path, key: Path, tmp_path: Path) -> bytes:
    plain = tmp_path / "plain"
    with path.open("rb") as source, plain.open("wb") as target:
        decrypt(source, target, parse_identities(key.read_text()), path.name)
    return plain.read_bytes()


@pytest.mark.parametrize("way", ["recipient", "public-file", "private-file"])
def test_encrypt_writes_the_model_and_its_data_and_tells_their_digests(folder, tmp_path, capsys, way):
    key = folder / "key.txt"
    public = make_key(folder, capsys)
    (folder / "public.txt").write_text(f"# team mail\n{public}\n")
    ways = {
        "recipient": ["-r", public],
        "public-file": ["--key-file", str(folder / "public.txt")],
        "private-file": ["--key-file", str(key)],
    }

    assert run(["encrypt", str(folder / "m" / "spam.onnx"), *ways[way]]) == 0

    files = {"m/spam.onnx.age": NAMED, "m/weights/part 1.bin.age": WEIGHTS}
    for name, data in files.items():
        assert unseal(folder / name, key, tmp_path) == data
    said = dict(reversed(line.split("  ", 1)) for line in capsys.readouterr().out.splitlines())
    assert said == {
        str(folder / name): hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files
    }


@pytest.mark.parametrize("above", ["", "../"])
def test_encrypt_takes_what_is_fetched_beside_the_model(folder, tmp_path, capsys, above):
    public = make_key(folder, capsys)
    (folder / "m").rename(folder / "onnx")
    texts = {"tokenizer.json": b"{1}", "config.json": b"{2}", "1_Pooling/config.json": b"{3}"}
    for name, content in texts.items():
        path = folder / "onnx" / above / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    beside = {"genai_config.json": b"{4}", "chat_template.jinja": b"5", "proof.json": b"{6}"}
    for name, content in {**beside, "notes.txt": b"7"}.items():
        (folder / "onnx" / name).write_bytes(content)

    out = folder / "out"
    assert run(["encrypt", str(folder / "onnx" / "spam.onnx"), "-r", public, "--output", str(out)]) == 0

    wanted = {**texts, **beside, "spam.onnx": NAMED, "weights/part 1.bin": WEIGHTS}
    written = {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()}
    assert written.keys() == {f"{name}.age" for name in wanted}
    for name, content in wanted.items():
        assert unseal(written[f"{name}.age"], folder / "key.txt", tmp_path) == content


def test_encrypt_new_key_is_for_its_owner_alone_and_never_over_another(folder, capsys):
    public = make_key(folder, capsys)
    text = (folder / "key.txt").read_text()
    assert stat.S_IMODE((folder / "key.txt").stat().st_mode) == 0o600
    assert public in text
    assert run(["encrypt", "--new-key", "--key-file", str(folder / "key.txt")]) == 1
    assert (folder / "key.txt").read_text() == text
    assert run(["encrypt", "--new-key"]) == 0
    assert "AGE-SECRET-KEY-1" in capsys.readouterr().out


def test_encrypt_output_goes_elsewhere_and_over_nothing(folder, capsys):
    command = ["encrypt", str(folder / "m" / "spam.onnx"), "-r", make_key(folder, capsys)]
    command += ["--output", str(folder / "out")]
    assert run(command) == 0
    assert sorted(path.name for path in (folder / "out").rglob("*.age")) == [
        "part 1.bin.age",
        "spam.onnx.age",
    ]
    assert run(command) == 1
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ([], "give the MODEL"),
        (["m/spam.onnx"], "for whom?"),
        (["m/spam.onnx", "-r", "age1abc"], "expected a public key"),
        (["m/spam.onnx", "--key-file", "none"], "cannot read"),
        (["m/spam.onnx", "--key-file", "empty"], "has no key"),
        (["m/spam.onnx", "--key-file", "bad"], "not a key"),
        (["none.onnx", "-r", "PUBLIC"], "No such file"),
        (["empty", "-r", "PUBLIC"], "it is empty"),
        (["bad", "-r", "PUBLIC"], "is not an ONNX model"),
        (["lost/spam.onnx", "-r", "PUBLIC"], "part 1.bin"),
        (["m/spam.onnx", "--new-key"], "encrypts nothing"),
    ],
)
def test_encrypt_refusal_says_what_to_do(folder, capsys, monkeypatch, arguments, hint):
    monkeypatch.chdir(folder)
    public = make_key(folder, capsys)
    (folder / "empty").touch()
    (folder / "bad").write_text("AGE-SECRET-KEY-1ABC\n")
    (folder / "lost").mkdir()
    (folder / "lost" / "spam.onnx").write_bytes(NAMED)
    assert run(["encrypt", *(public if one == "PUBLIC" else one for one in arguments)]) == 1
    error = capsys.readouterr().err
    assert hint in error
    assert "Traceback" not in error
    assert "SECRET-KEY-1A" not in error
    assert not list(folder.rglob("*.partial"))
