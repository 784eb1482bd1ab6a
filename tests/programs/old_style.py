"""Programs of the first years: Variable, typed constructors, `.data`, words embedded by hand, a policy gradient."""
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.autograd import Variable

torch.manual_seed(1)
np.random.seed(1)
dtype = torch.cuda.FloatTensor if torch.cuda.is_available() else torch.FloatTensor

x = Variable(torch.linspace(-1, 1, 20).unsqueeze(1))
y = Variable(x.data.pow(2) + 0.1 * torch.rand(x.size()))
w1, w2 = (Variable(torch.randn(1, 8).type(dtype), requires_grad=True), Variable(torch.randn(8, 1).type(dtype),
                                                                              requires_grad=True))
for t in range(60):
    y_pred = x.mm(w1).clamp(min=0).mm(w2)
    loss = (y_pred - y).pow(2).sum()
    loss.backward()
    w1.data -= 1e-3 * w1.grad.data
    w2.data -= 1e-3 * w2.grad.data
    w1.grad.data.zero_()
    w2.grad.data.zero_()
    if t % 20 == 19:
        print(t, round(float(loss.data.cpu().numpy()), 3), "%.3f" % loss.item())
print(type(w1).__name__, isinstance(w1, torch.Tensor), isinstance(w1, Variable), w1.type(), w1.data.size())

print(torch.FloatTensor([[1, 2], [3, 4]]), torch.LongTensor([1, 2]), torch.ByteTensor([0, 255]), torch.Tensor([1, 2]))
print(torch.Tensor(2, 3).size(), torch.FloatTensor(3).zero_(), torch.IntTensor([1]).float().type("torch.DoubleTensor"))
print(torch.FloatTensor(np.arange(3)), torch.from_numpy(np.ones(2)).float(), torch.ones(2).new(3).fill_(2).long())

words = "we are about to study the idea of a computational process".split()
index = {word: i for i, word in enumerate(words)}


class CBOW(nn.Module):
    def __init__(self, vocabulary, size):
        super(CBOW, self).__init__()
        self.embeddings = nn.Embedding(vocabulary, size)
        self.linear = nn.Linear(4 * size, vocabulary)

    def forward(self, context):
        return F.log_softmax(self.linear(self.embeddings(context).view((1, -1))), dim=1)


model = CBOW(len(words), 6)
loss_function = nn.NLLLoss()
optimizer = optim.SGD(model.parameters(), lr=0.1)
for epoch in range(4):
    total_loss = torch.Tensor([0])
    for i in range(2, len(words) - 2):
        context = [words[i - 2], words[i - 1], words[i + 1], words[i + 2]]
        ids = Variable(torch.LongTensor([index[w] for w in context]))
        model.zero_grad()
        log_probs = model(ids)
        loss = loss_function(log_probs, Variable(torch.LongTensor([index[words[i]]])))
        loss.backward()
        optimizer.step()
        total_loss += loss.data
    print(epoch, total_loss)
vector = model.embeddings.weight.data[index["idea"]]
print(vector, F.cosine_similarity(vector.unsqueeze(0), model.embeddings.weight.data).max(0)[1])

policy = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2), nn.Softmax(dim=-1))
optimizer = optim.Adam(policy.parameters(), lr=1e-2)
for episode in range(3):
    chosen, rewards = [], []
    for _ in range(6):
        state = torch.from_numpy(np.random.randn(4)).float().unsqueeze(0)
        probabilities = policy(state)
        action = probabilities.multinomial(1).data[0, 0]
        chosen.append(torch.log(probabilities[0, action]))
        rewards.append(float(action == 1))
    returns, total = [], 0.0
    for reward in rewards[::-1]:
        total = reward + 0.9 * total
        returns.insert(0, total)
    returns = torch.tensor(returns)
    returns = (returns - returns.mean()) / (returns.std() + np.finfo(np.float32).eps.item())
    loss = torch.stack([-log * r for log, r in zip(chosen, returns)]).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"episode {episode}: {rewards} {loss.item():.3f}")
