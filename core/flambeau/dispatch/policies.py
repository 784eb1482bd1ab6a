"""Which precision autocast gives to which operator.

One table by operator name rather than a field of each record: what is here is no property of the operators but a
choice about them, made as a whole, and it reads as the lists of PyTorch's documentation do. The decorators look a
record's name up once, when it is made: faces and composites that are not in the table cost nothing extra.

The host's list differs from the one of accelerators, as in PyTorch: a processor gains from fewer bits in products
only, and computes the rest in the dtype that it finds. Which of the two applies is told by the backend's capability
`host`, so whatever device a third party brings gets the list of accelerators.

What is not listed runs in the dtype of its operands; a composite without a policy, such as a loss that is put together
from others, is made of operators that have their own.

Source: https://docs.pytorch.org/docs/stable/amp.html#autocast-op-reference
"""

from __future__ import annotations

LOWER = "lower precision"      # operands are cast to the dtype of the autocast block
FLOAT32 = "float32"            # operands are cast to float32, unless the call asks for a dtype
WIDEST = "widest"              # operands are cast to float32 if one of them has it
ASIS = "as is"                 # a composite that computes in what it is given, whatever it is made of
REFUSED = "refused"            # what it computes overflows in half precision: an error says what to use instead

Policy = str

_EVERYWHERE = {
    LOWER: """addbmm addmm baddbmm bmm conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d
        conv_transpose3d convolution linalg_vecdot linear matmul mm prelu scaled_dot_product_attention""",
    FLOAT32: """binary_cross_entropy_with_logits cdist cosine_embedding_loss cross_entropy
        hinge_embedding_loss huber_loss kl_div l1_loss margin_ranking_loss mse_loss multi_margin_loss
        multilabel_margin_loss nll_loss poisson_nll_loss prod smooth_l1_loss soft_margin_loss triplet_margin_loss""",
    WIDEST: "cat stack",
    ASIS: "linalg_matrix_exp matrix_exp",
}
_HOST = {   # gru, gru_cell and lstm_cell are no names in PyTorch's list: their states keep them in float32 there
    FLOAT32: """adaptive_avg_pool3d adaptive_max_pool3d avg_pool3d binary_cross_entropy cholesky cholesky_inverse
        cholesky_solve ctc_loss fft_fft fft_fft2 fft_fftn fft_hfft fft_ifft fft_ifft2 fft_ifftn fft_ihfft fft_irfft
        fft_irfft2 fft_irfftn fft_rfft fft_rfft2 fft_rfftn fractional_max_pool2d fractional_max_pool3d geqrf grid_sample
        grid_sampler grid_sampler_2d grid_sampler_3d gru gru_cell inverse lstm_cell
        linalg_cholesky linalg_cholesky_ex linalg_cond linalg_eig linalg_eigh linalg_eigvals linalg_eigvalsh
        linalg_householder_product linalg_inv linalg_inv_ex linalg_lstsq linalg_matrix_rank linalg_qr linalg_solve
        linalg_svd linalg_svdvals linalg_tensorinv linalg_tensorsolve lu_solve max_pool3d max_unpool1d max_unpool2d
        max_unpool3d nanquantile orgqr ormqr pinverse polar qr quantile stft svd trace triangular_solve
        view_as_complex""",
    ASIS: "bilinear",
    WIDEST: "index_copy",
}
_ACCELERATOR = {
    LOWER: """addmv addr chain_matmul einsum gru_cell linalg_multi_dot lstm_cell mv rnn_relu_cell rnn_tanh_cell""",
    FLOAT32: """acos asin cosh cosine_similarity cumprod cumsum dist erfinv exp expm1 group_norm interpolate
        layer_norm linalg_matrix_norm linalg_vector_norm log log10 log1p log2 log_softmax logsumexp native_layer_norm
        norm nuclear_norm pdist pow reciprocal renorm rms_norm rsqrt sinh softmax softplus sum tan""",
    WIDEST: "addcdiv addcmul atan2 bilinear cross dot grid_sample grid_sampler index_put scatter_add tensordot vdot",
    REFUSED: "binary_cross_entropy",
}


def _table(*groups: dict[Policy, str]) -> dict[str, Policy]:
    return {name: policy for group in groups for policy, names in group.items() for name in names.split()}


ON_HOST = _table(_EVERYWHERE, _HOST)
ON_ACCELERATOR = _table(_EVERYWHERE, _ACCELERATOR)
LISTED = frozenset((*ON_HOST, *ON_ACCELERATOR))


def set_policy(name: str, *, host: Policy | None, accelerator: Policy | None) -> None:
    """Give an operator of your own a policy, on either side; None leaves it in the dtype of its operands.

    For a composite, or an operator with a face, this must come before the decorator that makes it.
    """
    global LISTED
    for table, policy in ((ON_HOST, host), (ON_ACCELERATOR, accelerator)):
        if policy is None:
            table.pop(name, None)
        else:
            table[name] = policy
    LISTED |= {name}
