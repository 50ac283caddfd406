"""Every test of a part begins with the same random numbers."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(2021)  # no seed that a test gives a generator


@pytest.fixture
def gradients():
    """A net's gradients by parameter, of a random projection of what it gives.

    A plain sum would not do: behind a normalisation its gradient is zero.
    """

    def of(net, out):
        net.zero_grad()
        (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
        return {name: parameter.grad for name, parameter in net.named_parameters()}

    return of
