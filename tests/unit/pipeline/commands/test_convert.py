"""`modelservice model convert`: flags that would make a proof of nothing are refused before anything runs."""

import pytest

from modelservice_cli.main import main


@pytest.mark.parametrize("flag", ["--relative-tolerance", "--absolute-tolerance"])
@pytest.mark.parametrize("value", ["inf", "nan", "-1", "1e9"])
def test_tolerance_that_proves_nothing_is_refused(tmp_path, capsys, flag, value):
    arguments = ["model", "convert", "onnx.file", "--output", str(tmp_path / "out"), f"{flag}={value}"]
    assert main([*arguments, "--from", "sklearn"]) == 1
    assert f"the {flag[2:10]} tolerance is" in capsys.readouterr().err
