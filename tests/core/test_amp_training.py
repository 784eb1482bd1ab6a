"""Training in half precision: what is learnt is what float32 learns, within a tolerance."""

import flambeau

HALVES = ("bfloat16", "float16")


def _digits():
    digits = flambeau.vision.datasets.Digits()
    return digits.data.float().reshape(-1, 64) / 255, digits.targets


def _train_digits(half, steps=150):
    images, labels = _digits()
    flambeau.manual_seed(0)
    nn = flambeau.nn
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = flambeau.optim.Adam(model.parameters(), lr=0.01)
    scaler = flambeau.amp.GradScaler("cpu", enabled=half is flambeau.float16)
    for step in range(steps):
        rows = slice(step * 64 % 1400, step * 64 % 1400 + 64)
        with flambeau.autocast("cpu", half, enabled=half is not None):
            loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    with flambeau.no_grad():
        return nn.functional.cross_entropy(model(images), labels).item()


def test_digits_are_learnt_as_well_in_half_precision():
    full = _train_digits(None)
    assert full < 0.2
    for half in HALVES:
        assert abs(_train_digits(getattr(flambeau, half)) - full) < 0.15 * full + 0.005


def _train_characters(half, steps=60):
    flambeau.manual_seed(0)
    nn, width, context = flambeau.nn, 32, 16
    text = "to be, or not to be, that is the question: " * 20
    known = sorted(set(text))
    data = flambeau.tensor([known.index(each) for each in text])
    layer = nn.TransformerEncoderLayer(width, 4, 64, dropout=0.0, batch_first=True)
    embedding, places = nn.Embedding(len(known), width), nn.Embedding(context, width)
    head = nn.Linear(width, len(known))
    parameters = [each for part in (layer, embedding, places, head) for each in part.parameters()]
    optimizer = flambeau.optim.AdamW(parameters, lr=5e-3)
    mask = flambeau.full((context, context), float("-inf")).triu(1)
    for step in range(steps):
        starts = [(step * 13 + 37 * each) % 700 for each in range(8)]
        x = flambeau.stack([data[each:each + context] for each in starts])
        y = flambeau.stack([data[each + 1:each + context + 1] for each in starts])
        with flambeau.autocast("cpu", flambeau.bfloat16, enabled=half):
            hidden = layer(embedding(x) + places.weight, src_mask=mask)
            loss = nn.functional.cross_entropy(head(hidden).flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def test_characters_are_learnt_as_well_in_half_precision():
    full, half = _train_characters(False), _train_characters(True)
    assert full < 0.6
    assert abs(half - full) < 0.1 * full + 0.02
