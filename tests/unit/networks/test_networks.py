"""The published constructions, to the parameter, and what each variant changes."""

import copy
from itertools import product
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from glcic.networks.cost import count_macs, count_parameters
from glcic.networks.discriminators.global_local import cut_windows
from glcic.networks.generators.glcic import GlcicGenerator
from glcic.networks.generators.unet import SelfAttention, UNetAttention
from glcic.networks.layers import DilatedConv2d, Gated, StridedConv2d, activation_layer
from glcic.params import Activation, Convolution, Norm, OutputActivation
from support.networks import generator, global_local, patchgan, unet


def judged(side: int = 32) -> tuple[Tensor, Tensor, Tensor]:
    """Two images, masks and corners of windows half as large, as a discriminator takes them."""
    image, mask = torch.rand(2, 3, side, side), torch.zeros(2, 1, side, side)
    mask[:, :, 4:8, 4:8] = 1
    return image, mask, torch.tensor([[0, 0], [side // 4, side // 2]])


def discriminator(name: str, spectral_norm: bool = False, mask_channel: bool = False) -> nn.Module:
    """A tiny one for images of 32 pixels: `patchgan`, or the head of a global and local discriminator."""
    norm: Norm = "none" if spectral_norm else "batch"
    changes: dict[str, Any] = {"norm": norm, "spectral_norm": spectral_norm, "mask_channel": mask_channel}
    if name == "patchgan":
        return patchgan(4, **changes)
    return global_local(32, 16, 3, 2, 0.0625, head=name, **changes)


# --- Published numbers ---


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_generator_has_the_published_parameters(norm: Norm) -> None:
    with torch.device("meta"):  # counted, not allocated
        assert count_parameters(generator(norm=norm)) == 6_072_131


@pytest.mark.parametrize(("side", "gmacs"), [(128, 8.1), (160, 12.7), (256, 32.6)])
def test_generator_has_the_published_cost(side: int, gmacs: float) -> None:
    with torch.device("meta"):
        macs = count_macs(generator(), torch.empty(2, 3, side, side), torch.empty(2, 1, side, side))
    assert macs / 1e9 == pytest.approx(gmacs, abs=0.05)


def test_unet_has_the_published_parameters_in_every_block() -> None:
    with torch.device("meta"):
        network = unet()
    assert {name: count_parameters(block) for name, block in network.named_children()} == {
        "enc1": 39_296,
        "enc2": 221_440,
        "enc3": 885_248,
        "attention": 82_241,
        "bottleneck": 1_180_160,
        "dec3": 1_769_984,
        "dec2": 590_080,
        "dec1": 112_387,
    }
    assert count_parameters(network) == 4_880_836


@pytest.mark.parametrize(
    ("image_size", "local_window", "layers", "parameters"),
    [
        (256, 128, (6, 5), 45_063_681),
        (160, 96, (5, 5), 39_557_121),
        (128, 64, (6, 5), 32_480_769),
        (64, 32, (5, 5), 24_352_769),
    ],
)
def test_discriminators_have_the_published_parameters(
    image_size: int, local_window: int, layers: tuple[int, int], parameters: int
) -> None:
    with torch.device("meta"):
        assert count_parameters(global_local(image_size, local_window, *layers)) == parameters
        # Two heads need the same 2,048 weights as the fusion, and one bias more.
        assert count_parameters(global_local(image_size, local_window, *layers, head="per_branch")) == (parameters + 1)


def test_patch_discriminator_has_the_published_parameters() -> None:
    assert count_parameters(patchgan()) == 35_553
    assert count_parameters(patchgan(norm="instance")) == 35_553
    assert count_parameters(patchgan(norm="none", spectral_norm=True)) == 35_553 - 2 * 64
    assert count_parameters(patchgan(mask_channel=True)) == 35_553 + 32 * 4 * 4


def test_cost_counts_attention_and_leaves_the_network_alone() -> None:
    network, x = SelfAttention(16), torch.rand(3, 16, 4, 4)
    places, projections, products = 4 * 4, 16 * (2 + 2 + 16), 4 * 4 * (2 + 16)
    assert count_macs(network, x) == places * (projections + products)
    assert network.training
    assert next(network.parameters()).device == x.device


# --- Generators ---


@pytest.mark.parametrize(
    ("norm", "activation", "convolution", "output_activation"),
    list(product(get_args(Norm), get_args(Activation), get_args(Convolution), get_args(OutputActivation))),
)
def test_output_has_the_shape_of_the_input_and_the_promised_range(
    norm: Norm, activation: Activation, convolution: Convolution, output_activation: OutputActivation
) -> None:
    values = (-0.25, 0.25)
    network = generator(
        0.0625, values, norm=norm, activation=activation, convolution=convolution, output_activation=output_activation
    )
    last = network.layers[-1]
    assert isinstance(last, nn.Conv2d)
    last.bias = nn.Parameter(torch.tensor([-1000.0, 0, 1000]))  # red and blue at the ends of the range
    completed = network(torch.rand(2, 3, 20, 36), torch.ones(2, 1, 20, 36))
    assert completed.shape == (2, 3, 20, 36)
    low, high = {"sigmoid": (0, 1), "tanh": (-1, 1), "clamp": values}[output_activation]
    assert (completed[:, 0] == low).all()
    assert (completed[:, 2] == high).all()
    assert completed.min() == low
    assert completed.max() == high


@pytest.mark.parametrize("network", [generator(0.0625), unet(8)])
def test_every_multiple_of_the_stride_is_a_size(network: GlcicGenerator | UNetAttention) -> None:
    for height, width in [(2, 2), (2, 5), (7, 3)]:
        height, width = height * network.stride, width * network.stride
        output = network(torch.rand(2, 3, height, width), torch.ones(2, 1, height, width))
        assert output.shape == (2, 3, height, width)


@pytest.mark.parametrize("network", [generator(0.0625), unet(8)])
def test_output_is_in_32_bits_under_mixed_precision(network: nn.Module) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(torch.rand(2, 3, 16, 16), torch.ones(2, 1, 16, 16)).dtype == torch.float32


def test_default_weights_keep_their_names() -> None:
    """Weights of earlier versions load: convolution, norm, activation, sixteen times, and the last convolution."""
    network = generator(0.0625)
    convolutions = [
        name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    ]
    assert convolutions == [f"layers.{3 * i}" for i in range(17)]
    norms = [name for name, layer in network.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    assert norms == [f"layers.{3 * i + 1}" for i in range(16)]


def test_every_pixel_of_the_hole_sees_far_beyond_it() -> None:
    """The dilated layers give a receptive field of some 300 pixels: a corner moves the center."""
    torch.manual_seed(0)
    network = generator(width_multiplier=0.125).eval()
    filled = torch.rand(1, 3, 128, 128, requires_grad=True)
    network(filled, torch.zeros(1, 1, 128, 128))[0, :, 64, 64].sum().backward()
    assert filled.grad is not None
    assert filled.grad[0, :, 0, 0].abs().sum() > 0


def convolution_weights(network: nn.Module) -> list[int]:
    return [layer.weight.numel() for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]


def test_gated_convolutions_are_twice_as_large_but_for_the_last() -> None:
    plain = convolution_weights(generator(0.125))
    gated = convolution_weights(generator(0.125, convolution="gated"))
    assert len(plain) == 17
    assert gated == [2 * n for n in plain[:-1]] + plain[-1:]


def test_a_gate_weighs_its_features() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(4, 6, kernel_size=1)
    gated, x = Gated(convolution, nn.BatchNorm2d(3), nn.ReLU()), torch.randn(2, 4, 5, 5)
    with torch.no_grad():
        convolution.weight[3:] = 0  # the gates depend on their bias alone
        assert convolution.bias is not None
        convolution.bias[3:] = torch.tensor([-1000.0, 0.0, 1000.0])  # closed, half open, open
        features = nn.BatchNorm2d(3)(convolution(x)[:, :3]).relu()
    assert features.amax(dim=(0, 2, 3)).min() > 0
    torch.testing.assert_close(gated(x), features * torch.tensor([0, 0.5, 1])[:, None, None])


@pytest.mark.parametrize("convolution", get_args(Convolution))
@pytest.mark.parametrize(("norm", "alone"), [("none", True), ("instance", True), ("batch", False)])
def test_only_batch_norm_lets_images_of_a_batch_meet(convolution: Convolution, norm: Norm, alone: bool) -> None:
    torch.manual_seed(0)
    network = generator(0.0625, norm=norm, activation="leaky_relu", convolution=convolution)
    filled, mask = torch.rand(3, 3, 16, 16), torch.ones(3, 1, 16, 16)
    together, one = network(filled, mask)[:1], network(filled[:1], mask[:1])
    assert torch.allclose(together, one, atol=1e-6) == alone


def test_leaky_relu_passes_negative_gradients() -> None:
    x = torch.tensor([-3.0, 2.0], requires_grad=True)
    y = activation_layer("leaky_relu")(x)
    y.sum().backward()
    assert y.tolist() == pytest.approx([-0.6, 2])
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx([0.2, 1])


@pytest.mark.parametrize(
    "network",
    [
        generator(0.0625, activation="leaky_relu"),
        generator(0.0625, activation="leaky_relu", convolution="gated"),
        global_local(32, 16, 3, 2, width_multiplier=0.0625, activation="leaky_relu"),
        unet(8),
        patchgan(4),
    ],
)
def test_leaky_networks_have_no_other_activation(network: nn.Module) -> None:
    leaky = [layer for layer in network.modules() if isinstance(layer, nn.LeakyReLU)]
    assert leaky
    assert all(layer.negative_slope == 0.2 for layer in leaky)
    assert not any(isinstance(layer, nn.ReLU) for layer in network.modules())


def test_attention_starts_as_the_identity() -> None:
    x = torch.randn(2, 16, 3, 5)
    assert torch.equal(SelfAttention(16)(x), x)


def test_attention_is_the_softmax_of_the_unscaled_products() -> None:
    torch.manual_seed(0)
    attention, x = SelfAttention(16), torch.randn(2, 16, 3, 5)
    nn.init.constant_(attention.gamma, 0.7)
    with torch.no_grad():
        query, key, value = (layer(x).flatten(2) for layer in (attention.query, attention.key, attention.value))
        weights = torch.einsum("nci,ncj->nij", query, key).softmax(dim=2)  # of place i for every place j
        seen = torch.einsum("nij,ncj->nci", weights, value).reshape(x.shape)
        torch.testing.assert_close(attention(x), x + 0.7 * seen)


def test_unet_learns_in_every_block() -> None:
    torch.manual_seed(0)
    network = unet(8)
    nn.init.constant_(network.attention.gamma, 0.5)  # at 0 queries, keys and values wait for it to move
    filled, mask = torch.rand(2, 3, 16, 24) * 2 - 1, torch.ones(2, 1, 16, 24)
    network(filled, mask).square().mean().backward()
    for name, parameter in network.named_parameters():
        if name != "attention.key.bias":  # shifts all products of a place alike: softmax does not see it
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


# --- Discriminators ---


def test_windows_are_cut_per_image_and_pass_gradients() -> None:
    image = torch.rand(3, 2, 10, 12, requires_grad=True)
    corner = torch.tensor([[0, 0], [3, 5], [6, 8]])
    windows = cut_windows(image, corner, 4)
    for n, (top, left) in enumerate(corner.tolist()):
        assert torch.equal(windows[n], image[n, :, top : top + 4, left : left + 4])
    windows[1].sum().backward()
    assert image.grad is not None
    assert image.grad[1].sum() == 2 * 4 * 4
    assert image.grad[0].sum() == 0


def test_discriminator_uses_both_branches() -> None:
    torch.manual_seed(0)
    network = global_local(32, 16, 3, 2, width_multiplier=0.0625).eval()
    image, mask, corner = judged()
    logits = network(image, mask, corner)
    assert logits.shape == (2, 1)
    outside = image.clone()
    outside[0, :, 30, 30] += 1  # outside the first image's window
    assert network(outside, mask, corner)[0] != logits[0]
    assert network(image, mask, corner.flip(0))[0] != logits[0]  # same image, another window


def test_the_second_head_judges_the_window_alone() -> None:
    torch.manual_seed(0)
    network = global_local(32, 16, 3, 2, width_multiplier=0.0625, head="per_branch").eval()
    image, mask, corner = judged()
    logits = network(image, mask, corner)
    assert logits.shape == (2, 2)
    outside = image.clone()
    outside[0, :, 30, 30] += 1
    moved = network(outside, mask, corner)
    assert moved[0, 0] != logits[0, 0]
    assert moved[0, 1] == logits[0, 1]
    moved = network(image, mask, corner.flip(0))
    assert torch.equal(moved[:, 0], logits[:, 0])  # and the first the image alone
    assert (moved[:, 1] != logits[:, 1]).all()


def test_a_patch_logit_sees_its_patch_alone() -> None:
    torch.manual_seed(0)
    network = patchgan(4).eval()  # in train mode, batch norm lets patches meet
    image, mask, corner = judged()
    image.requires_grad_()
    logits = network(image, mask, corner)
    assert logits.shape == (2, 7 * 7)
    logits[0, 3 * 7 + 3].backward()  # the middle one
    assert image.grad is not None
    seen = image.grad.abs().sum(dim=1)
    assert (seen[0, 5:27, 5:27] > 0).all()
    seen[0, 5:27, 5:27] = 0
    assert seen.sum() == 0


def test_patches_of_the_smallest_images() -> None:
    assert patchgan(4)(*judged(side=16)).shape == (2, 9)


@pytest.mark.parametrize("mask_channel", [False, True])
@pytest.mark.parametrize("name", ["fused", "per_branch", "patchgan"])
def test_the_mask_counts_only_where_it_is_asked_for(name: str, mask_channel: bool) -> None:
    torch.manual_seed(0)
    network = discriminator(name, mask_channel=mask_channel).eval()
    image, mask, corner = judged()
    other = mask.clone()
    other[0, :, 12, 12] = 1  # within the window of the first image, and of the middle patch
    logits, moved = network(image, mask, corner), network(image, other, corner)
    assert torch.equal(logits[1], moved[1])
    assert torch.equal(logits[0], moved[0]) != mask_channel
    if name == "per_branch":
        assert bool((logits[0] != moved[0]).all()) == mask_channel  # both branches see it


@pytest.mark.parametrize("name", ["fused", "per_branch", "patchgan"])
def test_spectral_norm_keeps_every_singular_value_below_one(name: str) -> None:
    torch.manual_seed(0)
    network = discriminator(name, spectral_norm=True)
    inputs = judged()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(5)
        for _ in range(50):
            network(*inputs)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(layers) == {"fused": 8, "per_branch": 9, "patchgan": 3}[name]
    network.eval()
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("norm", get_args(Norm))
@pytest.mark.parametrize("name", ["global_local", "patchgan"])
def test_only_batch_norm_lets_a_judgement_depend_on_the_other_images(name: str, norm: Norm) -> None:
    torch.manual_seed(0)
    network = patchgan(4, norm=norm) if name == "patchgan" else global_local(32, 16, 3, 2, 0.0625, norm=norm)
    image, mask, corner = judged()
    together, other = network(image, mask, corner), network(torch.stack([image[0], -image[1]]), mask, corner)
    assert torch.equal(together[0], other[0]) == (norm != "batch")
    assert not torch.equal(together[1], other[1])
    layers = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d}
    found = {norm for norm, layer in layers.items() if any(isinstance(m, layer) for m in network.modules())}
    assert found == {norm} - {"none"}


def test_discriminators_tell_their_window() -> None:
    assert global_local(32, 16, 3, 2, width_multiplier=0.0625).local_window == 16
    assert patchgan(4).local_window is None


@pytest.mark.parametrize(
    ("network", "kind"),
    [
        (generator(0.0625), "generator"),
        (generator(0.0625, convolution="gated", norm="instance"), "generator"),
        (unet(8), "generator"),
        (discriminator("fused"), "discriminator"),
        (discriminator("per_branch", spectral_norm=True, mask_channel=True), "discriminator"),
        (discriminator("patchgan"), "discriminator"),
    ],
)
def test_a_network_compiles_in_one_piece(network: nn.Module, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a break in its graph, and with the same output and gradients; on a GPU, so does `runtime.compile`."""
    for kind_of_layer in (StridedConv2d, DilatedConv2d):  # a GPU has the library's convolutions
        monkeypatch.setattr(kind_of_layer, "forward", nn.Conv2d.forward)
    torch.manual_seed(0)
    inputs = (torch.rand(2, 3, 32, 32), torch.ones(2, 1, 32, 32)) if kind == "generator" else judged()
    start, found = copy.deepcopy(network.state_dict()), []
    for called in (network, torch.compile(network, backend="aot_eager", fullgraph=True)):
        network.load_state_dict(start)  # spectral and batch norm change what they remember
        network.zero_grad()
        output = called(*inputs)
        output.square().sum().backward()
        found.append([output, *(p.grad.clone() for p in network.parameters() if p.grad is not None)])
    assert len(found[0]) > 4
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)
