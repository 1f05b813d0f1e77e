"""The layer gives what the function gives, and its gradient is that of finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crf_cases import guess, scene

from structseg.errors import ConfigError, DataError
from structseg.refine import DenseCRF, DenseCRFLayer, dense_crf

OPTIONS = {"gaussian": (3.0, 3.0), "bilateral": (20.0, 30.0, 10.0)}


def pictures(*seeds: int, size: tuple[int, int]) -> torch.Tensor:
    return torch.from_numpy(np.stack([scene(*size, seed=seed) for seed in seeds])).permute(0, 3, 1, 2)


def test_it_is_the_function() -> None:
    image = pictures(1, 2, size=(20, 28))
    probabilities = torch.from_numpy(np.stack([guess(20, 28, 4, seed=seed) for seed in (1, 2)]))
    found = DenseCRFLayer(steps=6, **OPTIONS)(probabilities.log(), image)
    assert (found.dtype, found.shape) == (torch.float32, (2, 4, 20, 28))
    for n in range(2):
        wanted = dense_crf(image[n].permute(1, 2, 0).numpy(), probabilities[n], steps=6, **OPTIONS)
        np.testing.assert_allclose(found[n].softmax(0).numpy(), wanted, rtol=0, atol=1e-4)


def test_sure_logits_are_taken_as_they_are() -> None:
    """A speck that the network is sure of: the function doubts it, for it bounds probabilities."""
    image = torch.zeros(1, 3, 12, 12, dtype=torch.uint8)
    logits = torch.zeros(1, 2, 12, 12)
    logits[:, 0] = 30.0
    logits[0, :, 6, 6] = torch.tensor([0.0, 30.0])
    found = DenseCRFLayer(steps=5, **OPTIONS)(logits, image).softmax(1)[0]
    crf = DenseCRF(image[0].permute(1, 2, 0).numpy(), **OPTIONS)
    np.testing.assert_allclose(found, crf.infer(-logits[0].log_softmax(0), steps=5), rtol=0, atol=1e-4)
    bounded = dense_crf(image[0].permute(1, 2, 0).numpy(), logits[0].softmax(0), steps=5, **OPTIONS)
    assert found[1, 6, 6] > 0.5 > bounded[1, 6, 6]


def test_no_pictures_give_none() -> None:
    nothing = torch.zeros(0, 3, 8, 8)
    assert DenseCRFLayer()(nothing, nothing.to(torch.uint8)).shape == (0, 3, 8, 8)


@pytest.mark.parametrize("matrix", [False, True])
def test_the_gradient_is_that_of_finite_differences(matrix: bool) -> None:
    strong = 2.0 * torch.tensor([[0.0, 1.0, 2.0], [0.5, 0.0, 1.0], [1.0, 3.0, 0.0]]).numpy() if matrix else 3.0
    layer = DenseCRFLayer(steps=2, gaussian=(2.0, 1.0), bilateral=(5.0, 30.0, strong))
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 3, 4, 5, generator=generator, dtype=torch.float64).requires_grad_()
    image = pictures(1, size=(4, 5))
    assert torch.autograd.gradcheck(lambda given: layer(given, image), (logits,))


def test_half_precision_comes_back_as_it_is() -> None:
    logits = torch.randn(1, 2, 8, 8).bfloat16().requires_grad_()
    found = DenseCRFLayer(steps=2, **OPTIONS)(logits, pictures(1, size=(8, 8)))
    found.sum().backward()
    assert found.dtype == torch.bfloat16
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_a_network_learns_through_it() -> None:
    """Two classes by colour: the last layer learns the sign."""
    image = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    image[..., 8:] = 200
    target = (torch.arange(16) >= 8).long().expand(1, 16, 16)
    layer, last = DenseCRFLayer(steps=3, gaussian=None, bilateral=(20.0, 30.0, 3.0)), torch.nn.Conv2d(3, 2, 1)
    optimizer = torch.optim.SGD(last.parameters(), lr=1.0)
    losses = []
    for _ in range(8):
        loss = torch.nn.functional.cross_entropy(layer(last(image / 255), image), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 < losses[0]


def test_bad_input() -> None:
    layer = DenseCRFLayer()
    with pytest.raises(DataError, match=r"pictures are torch.float32 \(1, 3, 4, 4\); give uint8 \(1, 3, 4, 4\)"):
        layer(torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 4, 4))
    with pytest.raises(DataError, match=r"give uint8 \(1, 3, 4, 4\) for these logits"):
        layer(torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ConfigError, match=r"steps 0\.5"):
        DenseCRFLayer(steps=0.5)
