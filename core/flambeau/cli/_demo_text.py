"""The demo's language model: Shakespeare letter by letter, and a small transformer that learns to go on writing."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flambeau
from flambeau import nn
from flambeau.cli._errors import UsageError
from flambeau.random import Generator
from flambeau.tensor import Tensor
from flambeau.utils.data import DataLoader, Dataset
from flambeau.vision.download import MissingDataError, download

_NAME = "input.txt"
_FOLDER = "tinyshakespeare"
_MIRRORS = ["https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"]
_MD5 = "6fb458f1232090904fb40fe944165e91"
_ASSET = Path(__file__).parent / "assets" / "shakespeare.txt.gz"

_BLOCK = 64  # letters that the model sees at once
_WIDTH, _HEADS, _LAYERS, _DROPOUT = 128, 4, 2, 0.1
_TEST_SHARE = 10  # one letter in so many is kept for testing
_TEST_BATCH = 128
_SHORTEST = 2 * _TEST_SHARE * _BLOCK
_LETTERS = 300  # of the sample that is shown at the end


class Windows(Dataset[Any]):
    """Every stretch of `_BLOCK` letters, as (letters, the letter that follows each)."""

    def __init__(self, letters: Tensor) -> None:
        self.letters = letters

    def __len__(self) -> int:
        return (len(self.letters) - 1) // _BLOCK

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        begin = index * _BLOCK
        stretch = self.letters[begin : begin + _BLOCK + 1]
        return stretch[:-1], stretch[1:]


class Transformer(nn.Module):
    """Embedded letters and places, a few encoder layers that look back only, and scores of the next letter."""

    def __init__(self, letters: int) -> None:
        super().__init__()
        self.letters = nn.Embedding(letters, _WIDTH)
        self.places = nn.Embedding(_BLOCK, _WIDTH)
        layer = nn.TransformerEncoderLayer(_WIDTH, _HEADS, 4 * _WIDTH, _DROPOUT, batch_first=True,
                                           norm_first=True)
        self.layers = nn.TransformerEncoder(layer, _LAYERS, nn.LayerNorm(_WIDTH), enable_nested_tensor=False)
        self.scores = nn.Linear(_WIDTH, letters)

    def forward(self, text: Tensor) -> Tensor:
        """(batch, time) int64 to (batch, time, letters)."""
        size = text.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(size, device=text.device)
        places = flambeau.arange(size, device=text.device)
        return self.scores(self.layers(self.letters(text) + self.places(places), mask=mask, is_causal=True))


class Text:
    """A text cut in two, whose letters are numbers."""

    measure = "test loss"

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.alphabet = sorted(set(text))
        number = {letter: index for index, letter in enumerate(self.alphabet)}
        letters = flambeau.tensor([number[letter] for letter in text])
        kept = len(letters) // _TEST_SHARE
        self.train, self.test = Windows(letters[:-kept]), Windows(letters[-kept:])

    def describe(self) -> str:
        """How long the text is."""
        sizes = (len(each.letters) for each in (self.train, self.test))
        return "{:,} letters to train on, {:,} to test, {} different ones".format(*sizes, len(self.alphabet))

    def build_model(self, model: str) -> nn.Module:
        """The transformer, for this alphabet."""
        return Transformer(len(self.alphabet))

    def score(self, model: nn.Module, device: str) -> float:
        """Mean cross entropy per letter, in nats."""
        total = 0.0
        for text, following in DataLoader(self.test, batch_size=_TEST_BATCH):
            scores = model(text.to(device)).flatten(0, 1)
            total += nn.functional.cross_entropy(scores, following.to(device).flatten(), reduction="sum").item()
        return total / (len(self.test) * _BLOCK)

    def closing(self, model: nn.Module, device: str) -> str:
        """What the model writes when it is asked to begin a line."""
        generator = Generator().manual_seed(0)
        written = [self.alphabet.index("\n")]
        model.eval()
        with flambeau.no_grad():
            for _ in range(_LETTERS):
                scores = model(flambeau.tensor([written[-_BLOCK:]], device=device))[0, -1]
                chances = (scores.to("cpu") / 0.8).softmax(0)
                written.append(int(flambeau.multinomial(chances, 1, generator=generator).item()))
        lines = "".join(self.alphabet[each] for each in written).strip().splitlines()
        return "\n".join(["", "what it writes:", "", *(f"    {line}".rstrip() for line in lines), ""])


def load_text(root: Path, say: Callable[[str], None]) -> Text:
    """Tiny Shakespeare from disk or the network; where neither has it, the scenes inside the package."""
    folders = [root, root / _FOLDER]
    if shared := os.environ.get("FLAMBEAU_DATA"):
        folders.append(Path(shared) / _FOLDER)
    for folder in folders:
        if (folder / _NAME).is_file():
            return Text("tiny Shakespeare", _read(folder / _NAME))
    say(f"tiny Shakespeare is not in {root}: downloading it")
    path = root / _FOLDER / _NAME
    try:
        download(_MIRRORS, path, _MD5)
        return Text("tiny Shakespeare", _read(path))
    except (MissingDataError, OSError) as error:
        say(f"{error}\nit is not to be had: training on the scenes that come with this package instead")
        with gzip.open(_ASSET, "rt", encoding="utf-8") as file:
            return Text("Coriolanus", file.read())


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a text in UTF-8 ({error}); get the file anew") from error
    if len(text) < _SHORTEST:
        raise UsageError(f"{path} has {len(text):,} letters, at least {_SHORTEST:,} are needed; get the file anew")
    return text
