"""Models of clips small enough for tests: nine frames of 16 px, three latent frames."""

from PIL import Image

from showo_turbo.text_tokenizer import TextTokenizer

from .tiny import tiny_magvitv2, tiny_showo

SIZES = {
    "image_tokens": 48,
    "video_frames": 3,
    "text_vocabulary_size": 640,
    "codebook_size": 64,
    "eos_id": 0,
    "max_text_length": 32,
    "tokenizer": "shapes",
}


def clip_networks(seed=0, **sizes):
    """A transformer, a tokenizer of clips and a text tokenizer that belong together."""
    showo = tiny_showo(seed, **(SIZES | sizes))
    return showo, tiny_magvitv2(seed).inflated(2), TextTokenizer.from_pretrained("shapes")


def write_clip_model(folder, seed=0):
    """A model folder with everything in it."""
    showo, image_tokenizer, text_tokenizer = clip_networks(seed)
    showo.save_pretrained(folder)
    image_tokenizer.save_pretrained(folder / "image_tokenizer")
    text_tokenizer.save(folder / "tokenizer.json")
    return folder


def colored_frames(shift=0, count=9, size=(16, 16)):
    return [Image.new("RGB", size, (20 * number + shift, 99, 9)) for number in range(count)]
