"""Sizes of a Show-o network, and the `config.json` that holds them."""

from dataclasses import asdict, dataclass, field
from typing import Any, Self, get_args

from transformers import PhiConfig

from ...errors import UserError, shown
from ..image_input import ImageInput, ImageInputKind
from .attention import PACKED_ATTENTION
from .vocabulary import Vocabulary

LARGEST_SIZE = 2**24
LARGEST_SIZES = {"layers": 1024}
"""Larger networks exist nowhere but in a damaged `config.json`, and take forever to build."""

_RELEASED_NAMES = {
    "text_vocabulary_size": "llm_vocab_size",
    "codebook_size": "codebook_size",
    "image_tokens": "num_vq_tokens",
    "tokenizer": "llm_model_path",
}
"""How the released `config.json` files call what they hold of a `ShowoConfig`."""

_RELEASED_CLIP = "w_clip_vit"
"""Of the released `config.json` files, whether the model reads features of CLIP."""

OF_FEATURES = (
    "image_input",
    "vision_encoder",
    "vision_tokens",
    "vision_width",
    "system_prompt",
    "prefix_visible",
)
"""Fields that say nothing of a network that reads codes."""

SYSTEM_PROMPT = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions."
)
"""What the released models that read features were instructed with, as LLaVA was with Vicuna."""


@dataclass(frozen=True)
class ShowoConfig:
    """Sizes of a Show-o network; the defaults are those of the released 256 px model.

    Args:
        text_vocabulary_size: Text tokens of the tokenizer.
        codebook_size: Codes of the image tokenizer.
        image_tokens: Tokens an image (256 at 256 px, 1,024 at 512 px), or a clip.
        max_text_length: Longest prompt in tokens, `sot` and `eot` included; the published
            training uses 128 with images.
        tokenizer: Folder or hub id of the text tokenizer; none when `tokenizer.json` lies in the
            model's own folder.
        image_tokenizer: `shapes`, folder or hub id of the image tokenizer; none when it lies in the
            model's own folder, as `image_tokenizer`.
        eos_id: Id of `<|endoftext|>`.
        hidden_size: Width.
        layers: Number of transformer layers.
        heads: Attention heads.
        intermediate_size: Width of the feed-forward layers; 4 x hidden by default.
        partial_rotary_factor: Share of each head's dimensions that rotate.
        max_position_embeddings: Longest sequence that the rotary table is meant for.
        noise_size: Numbers of noise that an image, and each of its tokens, reads; 0 for none. See
            `NoiseEmbedding`.
        image_input: How images are given to the network when it is asked about them: as `codes`, or
            as features that a projector makes embeddings of: those of a vision encoder (`clip`), or
            the image tokenizer's `latents`. It generates codes whatever it reads.
        vision_encoder: Folder or hub id of CLIP, for `clip`; none when it lies in the model's own
            folder, as `vision_encoder`.
        vision_tokens: Features that it gives of an image.
        vision_width: Numbers of each of them.
        system_prompt: What comes before the features of an image.
        prefix_visible: Whether features see not only each other but all that comes before the last
            of them, as published until 2024-09-19.
        video_frames: Latent frames of a clip, if it generates and reads clips, not images; then
            `image_tokens` are those of a whole clip.

    Attributes:
        family: Name of the architecture.
        needs_text_tokenizer: Whether prompts are encoded by a text tokenizer.

    Raises:
        UserError: If a value is of the wrong type or out of range.
    """

    family = "showo"
    needs_text_tokenizer = True
    text_vocabulary_size: int = 50295
    codebook_size: int = 8192
    image_tokens: int = 256
    max_text_length: int = 128
    tokenizer: str | None = "microsoft/phi-1_5"
    image_tokenizer: str | None = "showlab/magvitv2"
    eos_id: int = 50256
    hidden_size: int = 2048
    layers: int = 24
    heads: int = 32
    intermediate_size: int | None = None
    partial_rotary_factor: float = 0.5
    max_position_embeddings: int = 2048
    noise_size: int = 0
    image_input: ImageInputKind = "codes"
    vision_encoder: str | None = "openai/clip-vit-large-patch14-336"
    vision_tokens: int = 576
    vision_width: int = 1024
    system_prompt: str = SYSTEM_PROMPT
    prefix_visible: bool = False
    video_frames: int = 0
    vocabulary: Vocabulary = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check()
        vocabulary = Vocabulary(
            self.text_vocabulary_size, self.codebook_size, bos_id=self.eos_id, eos_id=self.eos_id
        )
        object.__setattr__(self, "vocabulary", vocabulary)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read a `config.json`, of a released checkpoint or of our own.

        Released files name only the vocabulary (`llm_vocab_size`, `codebook_size`,
        `num_vq_tokens`, `llm_model_path`); the network's sizes then are Phi-1.5's, and so is the
        text tokenizer where `llm_model_path` is an absolute path, on the machine of whoever trained
        it. Those with `w_clip_vit` read features of CLIP. Our own add what differs under
        `showo_turbo`, such as `image_input` for latents.

        Raises:
            UserError: If a value is of the wrong type or out of range.
        """
        own = values.get("showo_turbo", {})
        if not isinstance(own, dict):
            raise _wrong_value("showo_turbo", own, "an object of sizes")
        released = {
            name: values[theirs]
            for name, theirs in _RELEASED_NAMES.items()
            if values.get(theirs) is not None
        }
        if "tokenizer" not in own and str(released.get("tokenizer")).startswith("/"):
            del released["tokenizer"]
        known = {name: own[name] for name in cls.__dataclass_fields__ if name in own}
        clip = values.get(_RELEASED_CLIP)
        if clip is not None and type(clip) is not bool:
            raise _wrong_value(_RELEASED_CLIP, clip, "true or false")
        kind = known.setdefault("image_input", "clip" if clip else "codes")
        if clip is not None and clip != (kind == "clip"):
            raise _wrong_value(_RELEASED_CLIP, clip, f"{not clip} with image_input {shown(kind)}")
        return cls(**(known | released))

    def to_dict(self) -> dict[str, Any]:
        """The `config.json` that both the released code and `from_dict` read."""
        unused = {"vocabulary"} if self.reads.continuous else {"vocabulary", *OF_FEATURES}
        if not self.video_frames:
            unused.add("video_frames")
        own = {k: v for k, v in asdict(self).items() if k not in unused}
        return {
            "_class_name": "Showo",
            "codebook_size": self.codebook_size,
            "llm_model_path": self.tokenizer,
            "llm_vocab_size": self.text_vocabulary_size,
            "mask_token_id": self.vocabulary.mask_id,
            "num_vq_tokens": self.image_tokens,
            "vocab_size": self.vocabulary.size,
            _RELEASED_CLIP: self.image_input == "clip",
            "showo_turbo": own,
        }

    def _check(self) -> None:
        """Raise on sizes that no network has."""
        counts = {
            "text_vocabulary_size": self.text_vocabulary_size,
            "codebook_size": self.codebook_size,
            "image_tokens": self.image_tokens,
            "max_text_length": self.max_text_length,
            "hidden_size": self.hidden_size,
            "layers": self.layers,
            "heads": self.heads,
            "max_position_embeddings": self.max_position_embeddings,
            "vision_tokens": self.vision_tokens,
            "vision_width": self.vision_width,
        }
        if self.intermediate_size is not None:
            counts["intermediate_size"] = self.intermediate_size
        for name, value in counts.items():
            largest = LARGEST_SIZES.get(name, LARGEST_SIZE)
            if type(value) is not int or not 1 <= value <= largest:
                raise _wrong_value(name, value, f"a whole number from 1 to {largest:,}")
        if type(self.noise_size) is not int or not 0 <= self.noise_size <= LARGEST_SIZE:
            raise _wrong_value("noise_size", self.noise_size, "a whole number of at least 0")
        frames = self.video_frames
        if type(frames) is not int or frames < 0 or (frames and self.image_tokens % frames):
            raise _wrong_value(
                "video_frames", frames, f"a divisor of image_tokens={self.image_tokens}, or 0"
            )
        if type(self.eos_id) is not int or not 0 <= self.eos_id < self.text_vocabulary_size:
            raise _wrong_value("eos_id", self.eos_id, f"0 to {self.text_vocabulary_size - 1}")
        if self.hidden_size % self.heads:
            raise _wrong_value("heads", self.heads, f"a divisor of hidden_size={self.hidden_size}")
        factor: object = self.partial_rotary_factor
        if not isinstance(factor, int | float) or not 0 < factor <= 1:
            raise _wrong_value("partial_rotary_factor", factor, "above 0 and at most 1")
        kinds = get_args(ImageInputKind)
        if self.image_input not in kinds:
            raise _wrong_value("image_input", self.image_input, f"one of {', '.join(kinds)}")
        if type(self.prefix_visible) is not bool:
            raise _wrong_value("prefix_visible", self.prefix_visible, "true or false")
        tokenizers: dict[str, object] = {
            "tokenizer": self.tokenizer,
            "image_tokenizer": self.image_tokenizer,
            "vision_encoder": self.vision_encoder,
        }
        for name, text in tokenizers.items():
            if text is not None and not isinstance(text, str):
                raise _wrong_value(name, text, "a folder or a hub id")
        prompt: object = self.system_prompt
        if not isinstance(prompt, str):
            raise _wrong_value("system_prompt", prompt, "a text")

    @property
    def reads(self) -> ImageInput:
        """How images are given to the network when it is asked about them."""
        tokens, width = self.image_tokens, 0
        if self.image_input == "clip":
            tokens, width = self.vision_tokens, self.vision_width
        elif self.image_input == "latents":
            width = (self.codebook_size - 1).bit_length()
        return ImageInput(self.image_input, tokens, self.codebook_size, width)

    @property
    def text_room(self) -> int:
        """Text tokens that fit beside an image: the question, as it is encoded, and the answer."""
        others = ("mmu",) if self.reads.continuous else ("mmu", "soi", "eoi", "sot")
        return self.max_position_embeddings - self.reads.tokens - len(others)

    @property
    def values_per_token(self) -> int:
        """Numbers that decoding keeps for a token: keys, values, and a layer's activations."""
        width = self.intermediate_size or 4 * self.hidden_size
        return 2 * self.layers * self.hidden_size + 4 * width

    def phi(self) -> PhiConfig:
        """The transformer's configuration for transformers."""
        sizes: dict[str, Any] = {
            "vocab_size": self.vocabulary.size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size or 4 * self.hidden_size,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "partial_rotary_factor": self.partial_rotary_factor,
            "qk_layernorm": True,
            "layer_norm_eps": 1e-5,
            "hidden_act": "gelu_pytorch_tanh",  # the fused form of the released gelu_new
            "max_position_embeddings": self.max_position_embeddings,
            "tie_word_embeddings": False,
            "bos_token_id": None,
            "eos_token_id": None,
            "pad_token_id": None,
            "attn_implementation": PACKED_ATTENTION,
        }
        return PhiConfig(**sizes)


def _wrong_value(name: str, value: object, expected: str) -> UserError:
    theirs = _RELEASED_NAMES.get(name, name)
    label = name if theirs == name else f"{name} ({theirs} in released files)"
    return UserError(f"{label} is {shown(value)}; expected {expected}, correct or restore it")
