"""How phases group objects: perfect and made-up phases, and a loop over pixels."""

import cmath

import numpy as np
import torch

import neurodyn as nd
from neurodyn.models.gaspnet import gaspnet, ideal_state
from neurodyn.studies._grouping import numbered, phase_groups


def test_ideal_phases():
    """Background and two objects are a third of a circle apart."""
    scenes = nd.stimuli.multi_digits(5, split="test")
    state = tuple(p[None] for p in ideal_state(scenes.masks))
    found = phase_groups(gaspnet(), state, scenes)
    third = torch.full((1, 5), 2 * np.pi / 3)
    assert torch.allclose(found["between_objects"][0].float(), third, atol=0.15)
    assert torch.allclose(found["within_objects"][0].float(), torch.ones(1, 5), atol=0.1)
    pixels = (numbered(scenes.masks)[:, None] == torch.tensor([1, 2])[:, None, None]).sum((2, 3))
    sums = torch.polar(pixels.float(), torch.tensor([1, 2]) * 2 * np.pi / 3).sum(1)
    assert torch.allclose(found["figure_ground"][0].float(), sums.angle().abs()[None], atol=0.1)


def test_random_phases_by_a_loop():
    scenes = nd.stimuli.multi_digits(3, objects=3, overlap=0.3, split="test")
    assert (scenes.masks.sum(1) > 1).any()
    phase = 2 * torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = {name: of[0] for name, of in phase_groups(gaspnet(), (phase,), scenes).items()}
    numbers = numbered(scenes.masks)

    def mean(t, s, there):
        return np.exp(1j * phase[t, s][there].double().numpy()).mean()

    for t in range(2):
        for s in range(3):
            figure = scenes.masks[s].any(0)
            gap = abs(cmath.phase(mean(t, s, figure) * mean(t, s, ~figure).conj()))
            assert np.isclose(found["figure_ground"][t, s], gap, atol=1e-4)
            each = [mean(t, s, numbers[s] == n) for n in (1, 2, 3)]
            apart = [
                abs(cmath.phase(each[a] * each[b].conj())) for a, b in ((0, 1), (0, 2), (1, 2))
            ]
            assert np.isclose(found["between_objects"][t, s], np.mean(apart), atol=1e-4)
            assert np.isclose(found["within_objects"][t, s], np.mean(np.abs(each)), atol=1e-5)


def test_a_pixel_of_several_objects_belongs_to_none():
    scenes = nd.stimuli.multi_digits(4, overlap=0.4, split="test")
    numbers = numbered(scenes.masks)
    first, second = scenes.masks.unbind(1)
    assert torch.equal(numbers == -1, first & second)
    assert torch.equal(numbers == 0, ~(first | second))
    assert torch.equal(numbers == 1, first & ~second)
    assert phase_groups(gaspnet("gattanet"), (), scenes) == {}
