"""A small language model whose training can be killed at any moment and goes on, bit for bit, where its checkpoint is.

    resumed_transformer.py --steps 60 --every 1 --checkpoint run.pt --losses losses.txt

Start it again with the same arguments after it was killed. Without --checkpoint it trains for a few steps and prints.
"""
import argparse
import math
import os

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

TEXT = "the quick brown fox jumps over the lazy dog; pack my box with five dozen liquor jugs. " * 3
CONTEXT, WIDTH, WARM_UP = 12, 32, 5


class Characters(Dataset):
    def __init__(self, text):
        letters = sorted(set(text))
        self.vocabulary = len(letters)
        self.codes = torch.tensor([letters.index(each) for each in text])

    def __len__(self):
        return len(self.codes) - CONTEXT - 1

    def __getitem__(self, i):
        return self.codes[i:i + CONTEXT], self.codes[i + 1:i + CONTEXT + 1]


class Model(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, WIDTH)
        self.place = nn.Parameter(torch.randn(CONTEXT, WIDTH) * 0.02)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 2 * WIDTH, dropout=0.1, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, vocabulary)
        self.register_buffer("mask", torch.full((CONTEXT, CONTEXT), float("-inf")).triu(1))

    def forward(self, x):
        return self.head(self.layers(self.embed(x) + self.place, mask=self.mask))


def rate(step, steps):
    """Warm-up, then half a cosine."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (step - WARM_UP) / max(1, steps - WARM_UP)))


class Training:
    def __init__(self, steps, workers):
        torch.manual_seed(42)
        data = Characters(TEXT)
        self.steps, self.step, self.losses = steps, 0, []
        self.loader = DataLoader(data, batch_size=16, shuffle=True, num_workers=workers)
        self.model = Model(data.vocabulary)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=3e-3, weight_decay=0.1)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: rate(step, steps))

    def parts(self):
        return {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler, "loader": self.loader}

    def save(self, path):
        state = {name: part.state_dict() for name, part in self.parts().items()}
        torch.save({**state, "random": torch.get_rng_state(), "step": self.step, "losses": self.losses}, path)

    def resume(self, path):
        state = torch.load(path, weights_only=True)
        for name, part in self.parts().items():
            part.load_state_dict(state[name])
        self.step, self.losses = state["step"], state["losses"]
        torch.set_rng_state(state["random"])

    def run(self, after_step):
        while self.step < self.steps:
            for inputs, targets in self.loader:
                self.optimizer.zero_grad()
                logits = self.model(inputs)
                loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
                loss.backward()
                nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                self.optimizer.step()
                self.scheduler.step()
                self.step += 1
                self.losses.append(loss.item())
                after_step()
                if self.step == self.steps:
                    return


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--every", type=int, default=5, help="steps from one checkpoint to the next")
    parser.add_argument("--checkpoint", help="where the checkpoint is, or shall be")
    parser.add_argument("--losses", help="where to write every step's loss in the end")
    parser.add_argument("--workers", type=int, default=0, help="processes that load")
    options, _ = parser.parse_known_args()
    training = Training(options.steps, options.workers)

    def after_step():
        if options.checkpoint and (training.step % options.every == 0 or training.step == options.steps):
            print("saving", training.step, flush=True)
            training.save(options.checkpoint)
            print("saved", training.step, flush=True)

    if options.checkpoint and os.path.exists(options.checkpoint):
        training.resume(options.checkpoint)
        print("resumed", training.step, flush=True)
    training.run(after_step)
    if options.losses:
        with open(options.losses + ".new", "w") as file:
            file.writelines(f"{loss.hex()}\n" for loss in training.losses)
        os.replace(options.losses + ".new", options.losses)
    if not options.checkpoint:
        for step, loss in enumerate(training.losses, start=1):
            print(f"step {step}: {loss:.3f}")


main()
