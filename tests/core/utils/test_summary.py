"""A model on one page, from Python and from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import flambeau
from flambeau import cli, nn
from flambeau.utils.summary import summary

NET = """
from flambeau import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(10, 4)
        self.norm = nn.BatchNorm1d(4)
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        x = self.words(x).mean(1)
        return self.out(self.norm(self.norm(x)))

made = Net()
number = 3
"""


def test_layers_shapes_and_totals() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Flatten(), nn.Linear(4 * 36, 5)))
    net[0].weight.requires_grad_(False)
    net.train()
    found = summary(net, (2, 3, 8, 8))
    assert [row.path for row in found.rows] == ["", "0", "1", "2", "2.0", "2.1"]
    conv = found.rows[1]
    assert (conv.inputs, conv.outputs) == ("[2, 3, 8, 8]", "[2, 4, 6, 6]")
    assert conv.parameters == 4 * 3 * 9 + 4 and conv.multiply_adds == 2 * 4 * 36 * 27
    assert found.rows[3].multiply_adds == found.rows[5].multiply_adds == 2 * 5 * 144
    assert found.multiply_adds == 2 * 4 * 36 * 27 + 2 * 5 * 144
    assert found.total_params == sum(each.numel() for each in net.parameters())
    assert found.total_params - found.trainable_params == 4 * 3 * 9
    assert found.input_bytes == 2 * 3 * 8 * 8 * 4
    made = 2 * 4 * 36 * 3 + 2 * 5  # by the convolution, the normalisation, the flattening and the last layer
    assert found.result_bytes == 4 * made
    assert net.training and net[1].num_batches_tracked.item() == 0
    shallow = summary(net, (2, 3, 8, 8), depth=1)
    assert "2.1" not in [row.path for row in shallow.rows if row.depth <= 1] and "Flatten" not in str(shallow)


def test_inputs_of_any_kind() -> None:
    layer = nn.Bilinear(3, 4, 2)
    assert summary(layer, [(5, 3), (5, 4)]).rows[0].inputs == "[5, 3], [5, 4]"
    data = (flambeau.ones(5, 3), flambeau.ones(5, 4))
    assert summary(layer, input_data=data).rows[0].outputs == "[5, 2]"
    assert summary(nn.Embedding(4, 2), (3,), dtype=flambeau.int64).rows[0].outputs == "[3, 2]"
    for options in ({}, {"input_size": (1,), "input_data": data}):
        with pytest.raises(RuntimeError, match="either input_size or input_data"):
            summary(layer, **options)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        summary(layer, (5, 7))
    assert layer.training  # put back although the call failed


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    (tmp_path / "nets_of_mine.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    for text in ("nets_of_mine.py:Net", "nets_of_mine.py:made", "nets_of_mine:Net"):
        assert cli.main(["summary", text, "--input", "2,6", "--dtype", "int64"]) == 0
        printed = capsys.readouterr().out
        assert "words: Embedding(10, 4)" in printed and "norm: BatchNorm1d(4) x 2" in printed
        assert "Parameters: 63 (63 to train, 0 fixed)" in printed


@pytest.mark.parametrize("options, text", [
    (["resnet19"], "resnet19 is none of flambeau.vision.models"),
    (["nosuch.py:Net"], "there is no file nosuch.py"),
    (["nosuch_module:Net"], "cannot be imported"),
    (["nets.py:Nut"], "nets.py has no Nut"),
    (["nets.py:number"], "is no model but int"),
    (["nets.py:Net", "--input", "2;6"], "must be sizes with commas"),
    (["nets.py:Net", "--dtype", "int65"], "no such dtype"),
    (["nets.py:Net", "--input", "2,6"], "give its shape with --input"),
])
def test_bad_input_is_one_line(options: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                               capsys: Any) -> None:
    (tmp_path / "nets.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["summary", *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and text in printed.err
