"""Files of rows as users have them: what they hold, and where they are wrong."""

import gzip
import json

import pytest

from modelservice_pipeline.data.load import load_dataset, read_table
from modelservice_pipeline.data.options import DataOptions
from modelservice_pipeline.errors import PipelineError
from modelservice_pipeline.model.session import Port

TEXT = (Port("text", "object", (None,)),)
FEATURES = (Port("features", "float32", (None, 2)),)


def read(tmp_path, name, content, **options):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, DataOptions(**options))


def columns(table):
    return {name: column.tolist() for name, column in table.columns.items()}


def test_csv_of_spreadsheets_keeps_line_breaks_and_counts_lines(tmp_path):
    table = read(tmp_path, "a.csv", '\ufefftext,label\r\n"two\nlines",ham\r\n\r\n"say ""hi"", you",spam\r\n')
    assert columns(table) == {"text": ["two\nlines", 'say "hi", you'], "label": ["ham", "spam"]}
    assert table.lines == (2, 5)


def test_csv_with_semicolons_and_without_first_line(tmp_path):
    assert columns(read(tmp_path, "a.csv", "x;y\n1,5;2\n")) == {"x": ["1,5"], "y": ["2"]}
    assert columns(read(tmp_path, "a.csv", 'x\ty\n"1, 2" or\t3\n')) == {"x": ['"1, 2" or'], "y": ["3"]}
    assert columns(read(tmp_path, "a.csv", "1,2\n3,4\n", names=("x", "y"))) == {
        "x": ["1", "3"],
        "y": ["2", "4"],
    }


def test_compressed_files_are_known_by_their_bytes(tmp_path):
    assert columns(read(tmp_path, "a.csv.gz", gzip.compress(b"x\n1\n"))) == {"x": ["1"]}
    with pytest.raises(PipelineError, match="is not whole"):
        read(tmp_path, "a.csv.gz", gzip.compress(b"x\n1\n")[:-6])


def test_field_beyond_the_csv_modules_limit_is_read(tmp_path):
    assert columns(read(tmp_path, "a.csv", "text\n" + "x" * 200_000 + "\n"))["text"] == ["x" * 200_000]


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (
            'label\ttext\nham\t"Gimme a few" was <#> minutes ago\nham\tok\n',
            ['"Gimme a few" was <#> minutes ago', "ok"],
        ),
        ('label\ttext\nham\t"no end\nham\tother " one\nham\tok\n', ['"no end', 'other " one', "ok"]),
        ('label\ttext\nham\t"no end\nspam\tstarts"\nham\tok\n', ['"no end', 'starts"', "ok"]),
        ('label\ttext\nham\t"with ""quotes"" and\ttab"\n', ['with "quotes" and\ttab']),
    ],
)
def test_tsv_takes_quotes_as_they_are_meant(tmp_path, content, texts):
    assert columns(read(tmp_path, "a.tsv", content))["text"] == texts


def test_json_lines_keep_types_and_missing_fields(tmp_path):
    table = read(tmp_path, "a.jsonl", '{"x": [1, 2], "y": "é\u2028"}\n\n{"x": [3, 4]}\n')
    assert columns(table) == {"x": [[1, 2], [3, 4]], "y": ["é\u2028", None]}
    assert table.lines == (1, 3)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "x,y\n", "has no rows"),
        ("a.csv", "x,y\n1,2\n3\n", "line 3: has 1 fields, expected 2"),
        ("a.csv", "x,x\n1,2\n", "names columns twice: x"),
        ("a.csv", 'x,y\n1,"2\n3,4\n', "line 2: unexpected end of data"),
        ("a.csv", b"x\nok\n\xff\n", "line 3: is not UTF-8"),
        ("a.jsonl", '{"x": 1}\n{"x": 1,}\n', r"line 2, column \d+: .*; every line is one JSON object"),
        ("a.jsonl", "[1]\n", "line 1: is not a JSON object"),
        ("a.jsonl", '{"x": 1}\n{"x": ' + "9" * 5000 + "}\n", "line 2: a number has 5000 digits"),
        ("a.jsonl", '{"x": 1}\n{"x": 1, "y": 2, "x": 1}\n', "line 2: names 'x' twice"),
        ("a.jsonl", '{"x": 1}\n{"x": {"y": 1, "y": 1}}\n', "line 2: names 'y' twice"),
        ("a.jsonl", "[" * 100_000, "line 1: too deep"),
        ("a.jsonl", "\n", "has no rows"),
        ("a.parquet", "x", "known are .csv"),
    ],
)
def test_wrong_file_names_the_place(tmp_path, name, content, message):
    with pytest.raises(PipelineError, match=message) as caught:
        read(tmp_path, name, content)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["1", "x", "2"], "line 3, column 'b': holds 'x', the model's input features needs a number"),
        (["1", "", "2"], "line 3, column 'b': holds nothing, the model's input features needs a number"),
        (["1", "nan", "2"], "line 3, column 'b': holds 'nan', which is no finite float32; .*--allow-nan"),
        (["1", "1_0", "2"], "line 3, column 'b': holds '1_0', the model's input features needs a number"),
        (["1", "٣", "2"], "line 3, column 'b': holds '٣', the model's input features needs a number"),
        (["1", "1e39", "2"], "line 3, column 'b': holds '1e39', which is no finite float32"),
    ],
)
def test_wrong_cell_names_line_and_column(tmp_path, cells, message):
    path = tmp_path / "a.csv"
    path.write_text("a,b,label\n" + "".join(f"1,{cell},0\n" for cell in cells))
    with pytest.raises(PipelineError, match=message):
        load_dataset(path, FEATURES)


def test_missing_numbers_are_nan_when_allowed(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b,label\n1,,0\n2,NA,0\n3,4,1\n")
    features = load_dataset(path, FEATURES, DataOptions(allow_nan=True)).inputs["features"]
    assert str(features.tolist()) == "[[1.0, nan], [2.0, nan], [3.0, 4.0]]"


def test_texts_of_json_must_be_texts(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"text": text, "label": 1}) for text in ("ok", 5)))
    with pytest.raises(PipelineError, match=r"line 2, column 'text': holds 5, .* needs a text"):
        load_dataset(path, TEXT)
    path.write_text('{"text": "\\ud83d\\ude00 é", "label": 1}\n{"text": "\\ud800", "label": 1}\n')
    with pytest.raises(PipelineError, match=r"line 2, column 'text': holds '.ud800', .* whole characters"):
        load_dataset(path, TEXT)
