"""A small DCGAN: transposed convolutions, batch norm, weights set by `apply`, two optimisers, BCELoss."""
import torch
import torch.nn as nn
import torch.optim as optim

torch.manual_seed(999)
NOISE, WIDTH = 8, 4


def weights_init(m):
    name = m.__class__.__name__
    if name.find("Conv") != -1:
        nn.init.normal_(m.weight.data, 0.0, 0.02)
    elif name.find("BatchNorm") != -1:
        nn.init.normal_(m.weight.data, 1.0, 0.02)
        nn.init.constant_(m.bias.data, 0)


class Generator(nn.Module):
    def __init__(self):
        super(Generator, self).__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(NOISE, WIDTH * 2, 4, 1, 0, bias=False), nn.BatchNorm2d(WIDTH * 2), nn.ReLU(True),
            nn.ConvTranspose2d(WIDTH * 2, WIDTH, 4, 2, 1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU(True),
            nn.ConvTranspose2d(WIDTH, 1, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, input):
        return self.main(input)


class Discriminator(nn.Module):
    def __init__(self):
        super(Discriminator, self).__init__()
        self.main = nn.Sequential(
            nn.Conv2d(1, WIDTH, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(WIDTH, WIDTH * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(WIDTH * 2), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(WIDTH * 2, 1, 4, 1, 0, bias=False), nn.Sigmoid())

    def forward(self, input):
        return self.main(input).view(-1, 1).squeeze(1)


device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
generator, discriminator = Generator().to(device), Discriminator().to(device)
print(generator.apply(weights_init))
print(discriminator.apply(weights_init))
criterion = nn.BCELoss()
fixed_noise = torch.randn(4, NOISE, 1, 1, device=device)
optimizer_d = optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.5, 0.999))
optimizer_g = optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999))
real = torch.sin(torch.linspace(0, 30, 16 * 16)).view(1, 1, 16, 16) + 0.1 * torch.randn(8, 1, 16, 16)

for step in range(8):
    discriminator.zero_grad()
    label = torch.full((real.size(0),), 1.0, device=device)
    output = discriminator(real)
    loss_real = criterion(output, label)
    loss_real.backward()
    d_x = output.mean().item()
    fake = generator(torch.randn(real.size(0), NOISE, 1, 1, device=device))
    label.fill_(0.0)
    output = discriminator(fake.detach())
    loss_fake = criterion(output, label)
    loss_fake.backward()
    d_g1 = output.mean().item()
    optimizer_d.step()

    generator.zero_grad()
    label.fill_(1.0)
    loss_g = criterion(discriminator(fake), label)
    loss_g.backward()
    optimizer_g.step()
    print("[%d] Loss_D: %.3f Loss_G: %.3f D(x): %.3f D(G(z)): %.3f" % (
        step, (loss_real + loss_fake).item(), loss_g.item(), d_x, d_g1))

with torch.no_grad():
    images = generator(fixed_noise).detach().cpu()
print(images.shape, images.min() >= -1, images.max() <= 1, images.requires_grad)
print(nn.ConvTranspose2d(3, 6, 3, stride=2, padding=1)(torch.zeros(1, 3, 5, 5), output_size=[10, 9]).shape)
