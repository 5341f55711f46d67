import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from showo_turbo.errors import UserError
from showo_turbo.models.magvitv2 import MAGVITv2, MAGVITv2Config
from showo_turbo.models.magvitv2.patches import split_patches
from showo_turbo.shapes.checker import read_image
from showo_turbo.shapes.render import render
from showo_turbo.shapes.scene import COLORS, SHAPES, Scene, SceneObject

from ..support.scenes import sample_scene
from ..tiny import GOLDEN, golden_cases, golden_meta, released_keys, tiny_magvitv2


@pytest.fixture(scope="module")
def golden():
    recorded = golden_meta()["magvit"]
    multipliers, blocks = tuple(recorded["ch_mult"]), tuple(recorded["num_res_blocks"])
    sizes = (recorded["ch"], multipliers, multipliers, blocks, blocks, recorded["z_channels"])
    network = MAGVITv2(MAGVITv2Config(*sizes))
    network.load_state_dict(load_file(GOLDEN / "magvitv2.safetensors"))
    return network.eval()


def random_pixels(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


class TestGolden:
    def test_latents_and_codes(self, golden):
        cases = golden_cases()
        with torch.no_grad():
            latents = golden.pixels_to_latents(cases["magvit.pixels"])
        torch.testing.assert_close(latents, cases["magvit.pre_quant"], rtol=0, atol=1e-4)
        assert torch.equal(golden.encode(cases["magvit.pixels"]), cases["magvit.codes"])

    def test_decoded_pixels(self, golden):
        cases = golden_cases()
        expected = cases["magvit.decoded"]
        signs = golden.quantize.codes_to_signs(cases["magvit.codes"], (4, 4))
        with torch.no_grad():
            torch.testing.assert_close(golden.signs_to_pixels(signs), expected, rtol=0, atol=1e-4)
        decoded = golden.decode(cases["magvit.codes"])
        torch.testing.assert_close(decoded, expected.clamp(-1, 1), rtol=0, atol=1e-4)
        assert expected.max() > 1  # so that clamping is seen

    def test_training_forward_agrees_with_encode_and_decode(self, golden):
        cases = golden_cases()
        with torch.no_grad():
            made = golden(cases["magvit.pixels"])
        assert torch.equal(made.codes, cases["magvit.codes"])
        torch.testing.assert_close(made.pixels, cases["magvit.decoded"], rtol=0, atol=1e-4)


def test_released_keys_and_shapes():
    with torch.device("meta"):
        state = MAGVITv2().state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == released_keys("magvitv2")


class TestConfig:
    def test_released_sizes(self):
        config = MAGVITv2Config()
        assert (config.patch_size, config.codebook_size) == (16, 8192)

    def test_the_released_file_holds_no_sizes(self):
        released = {"_class_name": "MAGViTv2", "_diffusers_version": "0.30.1", "_version": "0.0.1"}
        assert MAGVITv2Config.from_dict(released) == MAGVITv2Config()

    def test_round_trip(self, tmp_path):
        network = tiny_magvitv2(isolated_patches=True, decoder_blocks=(2, 1, 1))
        network.save_pretrained(tmp_path)
        written = json.loads((tmp_path / "config.json").read_text())
        assert MAGVITv2Config.from_dict(written) == network.config

    @pytest.mark.bad_input
    @pytest.mark.parametrize(
        ("sizes", "message"),
        [
            ({"encoder_blocks": (1, 1)}, r"lengths \[2, 3\], expected one entry a resolution"),
            ({"norm_groups": 3}, "width 8 is not a multiple of norm_groups=3"),
            ({"norm_groups": 0}, "norm_groups is 0; expected a whole number from 1"),
            ({"channels": None}, "channels is None; expected a whole number"),
            ({"bits": "13"}, "bits is '13'; expected a whole number"),
            ({"encoder_blocks": 3}, "encoder_blocks is 3; expected a list of whole numbers"),
            (
                {"decoder_multipliers": (1, 0.5, 1)},
                r"decoder_multipliers is \(1, 0.5, 1\); expected",
            ),
        ],
    )
    def test_sizes_that_do_not_fit(self, sizes, message):
        with pytest.raises(UserError, match=message):
            tiny_magvitv2(**sizes)


class TestShapes:
    def test_any_number_of_patches(self):
        network = tiny_magvitv2()
        pixels = random_pixels(2, 3, 8, 12)
        assert network.grid_of(pixels) == (2, 3)
        codes = network.encode(pixels)
        assert codes.shape == (2, 6) and codes.dtype == torch.int64
        assert network.decode(codes, (2, 3)).shape == pixels.shape

    def test_decode_needs_no_grid_for_a_square(self):
        network = tiny_magvitv2()
        codes = torch.arange(4)[None]
        assert torch.equal(network.decode(codes), network.decode(codes, (2, 2)))

    @pytest.mark.bad_input
    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            ((1, 3, 8, 10), "8x10 pixels cannot be cut into patches of 4x4"),
            ((1, 1, 8, 8), r"shape \(1, 1, 8, 8\), expected \(batch, 3, height, width\)"),
            ((3, 8, 8), r"shape \(3, 8, 8\), expected"),
        ],
    )
    def test_pixels_that_do_not_fit(self, shape, message):
        with pytest.raises(UserError, match=message):
            tiny_magvitv2().encode(random_pixels(*shape))

    @pytest.mark.bad_input
    def test_codes_that_do_not_fit(self):
        with pytest.raises(UserError, match=r"\(1, 6\), expected \(batch, 4\) for a grid of 2x2"):
            tiny_magvitv2().decode(torch.zeros(1, 6, dtype=torch.long))


class TestIsolatedPatches:
    """Computing distinct patches once must change nothing but the time."""

    @pytest.fixture
    def network(self):
        return tiny_magvitv2(isolated_patches=True)

    @pytest.fixture
    def pixels(self):
        tile = random_pixels(2, 3, 4, 4)
        return torch.cat([tile, tile.flip(0), tile], dim=3)  # every patch occurs three times

    def test_as_images_of_one_patch(self, network, pixels):
        alone = torch.cat([network.encoder(patch[None]) for patch in split_patches(pixels, 4)])
        latents = network.pixels_to_latents(pixels)
        torch.testing.assert_close(split_patches(latents, 1), alone)
        signs = network.quantize(latents)
        alone = torch.cat([network.decoder(sign[None]) for sign in split_patches(signs, 1)])
        torch.testing.assert_close(split_patches(network.signs_to_pixels(signs), 4), alone)

    def test_gradient_as_without_the_shortcut(self, network, pixels):
        weights = random_pixels(2, 3, 4, 12, seed=1)

        def gradients(reconstructed, latents):
            network.zero_grad()
            ((reconstructed * weights).sum() + latents.square().sum()).backward()
            return [parameter.grad.clone() for parameter in network.parameters()]

        made = network(pixels)
        found = gradients(made.pixels, made.latents)
        latents = network.encoder(split_patches(pixels, 4))
        decoded = network.decoder(network.quantize(latents))
        expected = gradients(
            decoded.reshape(2, 1, 3, 3, 4, 4).permute(0, 3, 1, 4, 2, 5).reshape(2, 3, 4, 12),
            latents,
        )
        for name, one, other in zip(
            [name for name, _ in network.named_parameters()], found, expected, strict=True
        ):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4, msg=name)

    def test_a_change_stays_in_its_patch(self, network, pixels):
        changed = pixels.clone()
        changed[0, :, :, :4] = -changed[0, :, :, :4]
        before, after = network.pixels_to_latents(pixels), network.pixels_to_latents(changed)
        assert not torch.allclose(before[0, :, :, 0], after[0, :, :, 0])
        torch.testing.assert_close(before[0, :, :, 1:], after[0, :, :, 1:])

    def test_without_it_a_change_reaches_other_patches(self, pixels):
        network = tiny_magvitv2()
        changed = pixels.clone()
        changed[0, :, :, :4] = -changed[0, :, :, :4]
        before, after = network.pixels_to_latents(pixels), network.pixels_to_latents(changed)
        assert not torch.allclose(before[0, :, :, 2], after[0, :, :, 2], atol=1e-4)


class TestPretrained:
    def test_round_trip(self, tmp_path):
        network = tiny_magvitv2(seed=3)
        network.save_pretrained(tmp_path)
        loaded = MAGVITv2.from_pretrained(tmp_path)
        assert not loaded.training
        assert loaded.state_dict().keys() == network.state_dict().keys()
        for key, value in network.state_dict().items():
            assert torch.equal(loaded.state_dict()[key], value)
        assert {path.name for path in tmp_path.iterdir()} == {
            "config.json",
            "pytorch_model.safetensors",
        }

    @pytest.mark.bad_input
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda state: state.pop("quantize.embedding"), "missing .*quantize.embedding"),
            (lambda state: state.update(extra=torch.zeros(1)), "unexpected .*extra"),
            (
                lambda state: state.update({"encoder.conv_in.bias": torch.zeros(9)}),
                r"encoder.conv_in.bias is \(9,\), expected \(8,\)",
            ),
        ],
    )
    def test_weights_that_do_not_fit(self, tmp_path, change, message):
        tiny_magvitv2().save_pretrained(tmp_path)
        file = tmp_path / "pytorch_model.safetensors"
        state = load_file(file)
        change(state)
        save_file(state, file)
        with pytest.raises(UserError, match=message):
            MAGVITv2.from_pretrained(tmp_path)


class TestShipped:
    @pytest.fixture
    def shapes(self):
        return MAGVITv2.from_pretrained("shapes")

    def test_size(self, shapes):
        assert (shapes.config.patch_size, shapes.config.codebook_size) == (4, 512)
        assert sum(parameter.numel() for parameter in shapes.parameters()) < 300_000

    def test_reconstructions_read_the_same(self, shapes):
        scenes = [sample_scene(index, seed=77)[0] for index in range(200)]
        # Every shape in every color on both backgrounds, in all cells.
        scenes += [
            Scene(
                tuple(
                    SceneObject(shape, COLORS[(first + cell) % len(COLORS)], *divmod(cell, 3))
                    for cell in range(9)
                ),
                background,
            )
            for shape in SHAPES
            for first in range(len(COLORS))
            for background in ("white", "black")
        ]
        images = torch.stack([torch.from_numpy(render(scene)) for scene in scenes])
        pixels = images.permute(0, 3, 1, 2) / 127.5 - 1
        decoded = shapes.decode(shapes.encode(pixels))
        rgb = ((decoded + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        assert [read_image(image) for image in rgb] == scenes

    def test_a_code_for_every_patch(self, shapes):
        """Patches with the same code would be one and the same to the transformer."""
        scenes = [
            Scene((SceneObject(shape, color, 1, 1),), background)
            for shape in SHAPES
            for color in COLORS
            for background in ("white", "black")
        ]
        images = torch.stack([torch.from_numpy(render(scene)) for scene in scenes])
        patches = split_patches(images.permute(0, 3, 1, 2) / 127.5 - 1, 4).unique(dim=0)
        codes = shapes.encode(patches)
        assert len(patches) == len(codes.unique()) == 194
