"""Products of matrices, broadcasting, reshaping and every common way of indexing."""
import torch

torch.manual_seed(3)
left, right = torch.randn(3, 4), torch.randn(4, 2)
products = [torch.matmul(left, right), left @ right, left.mm(right), torch.einsum("ij,jk->ik", left, right)]
print(products[0])
assert all(torch.allclose(products[0], each, atol=1e-6) for each in products)
print(torch.bmm(torch.ones(10, 3, 4), torch.ones(10, 4, 2)).shape, left.T.shape, left.transpose(0, 1).shape)

grid, row, column = torch.ones(3, 4), torch.arange(4.0), torch.arange(3.0).reshape(3, 1)
print(grid + row, grid + column, (row + column).shape, sep="\n")
try:
    grid + torch.ones(5)
except RuntimeError as error:
    print("refused:", "must match the size" in str(error))

cube = torch.arange(24).view(2, 3, 4)
print(cube.view(6, 4).shape, cube.reshape(2, 12).shape, cube.permute(2, 0, 1).shape, cube.flatten(1).shape)
thin = torch.zeros(1, 3, 1, 4)
print(thin.squeeze().shape, thin.squeeze(0).shape, thin.squeeze().unsqueeze(0).shape)
same = cube.view(-1)
same[0] = 100
assert cube[0, 0, 0] == 100

table = torch.arange(12).reshape(3, 4)
print(table[0, :], table[:, 1], table[0:2, 2:4], table[-1], table[..., 0], table[:, None].shape, sep="\n")
print(table[table > 5], table[torch.tensor([0, 2])], table[[0, 1], [2, 3]], sep="\n")
table[1] = 0
table[table == 3] = -1
print(table, table.sum(), table.sum(dim=0), table.float().mean(1), table.max(), table.argmax(dim=1), sep="\n")
print(torch.cat([table, table]).shape, torch.stack([table, table]).shape, table.tolist())
