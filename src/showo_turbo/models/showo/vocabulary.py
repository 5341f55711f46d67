"""The one owner of token ids: text, special tokens, image codes and the mask share one table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Vocabulary:
    """How Show-o numbers its tokens: `text | specials | image codes | mask`.

    An image *code* is `0 .. codebook_size - 1`, as the image tokenizer gives it; its token *id* is
    `code + image_offset`. The mask follows the last code, so `mask_code == codebook_size` converts
    to `mask_id` by the same rule.

    Args:
        text_size: Number of text tokens of the tokenizer, its added tokens included.
        codebook_size: Number of image codes.
        bos_id: The tokenizer's beginning-of-text id, which plays `<|sot|>`.
        eos_id: The tokenizer's end-of-text id, which plays `<|eot|>`.

    Source: Show-o (arXiv 2408.12528), the released prompting code and checkpoints.
    """

    text_size: int = 50295
    codebook_size: int = 8192
    bos_id: int = 50256
    eos_id: int = 50256

    @property
    def pad_id(self) -> int:
        """`[PAD]`."""
        return self.text_size

    @property
    def soi_id(self) -> int:
        """Start of image."""
        return self.text_size + 1

    @property
    def eoi_id(self) -> int:
        """End of image."""
        return self.text_size + 2

    @property
    def sov_id(self) -> int:
        """Start of video."""
        return self.text_size + 3

    @property
    def eov_id(self) -> int:
        """End of video."""
        return self.text_size + 4

    @property
    def t2i_id(self) -> int:
        """Task token: text to image."""
        return self.text_size + 5

    @property
    def mmu_id(self) -> int:
        """Task token: multimodal understanding."""
        return self.text_size + 6

    @property
    def t2v_id(self) -> int:
        """Task token: text to video."""
        return self.text_size + 7

    @property
    def v2v_id(self) -> int:
        """Task token: video to video (unused here)."""
        return self.text_size + 8

    @property
    def lvg_id(self) -> int:
        """Task token: texts and images in turn; as released, long video generation."""
        return self.text_size + 9

    @property
    def sot_id(self) -> int:
        """Start of text: the tokenizer's bos."""
        return self.bos_id

    @property
    def eot_id(self) -> int:
        """End of text: the tokenizer's eos."""
        return self.eos_id

    @property
    def image_offset(self) -> int:
        """Id of image code 0."""
        return self.text_size + 10

    @property
    def mask_code(self) -> int:
        """The code that stands for a masked image token."""
        return self.codebook_size

    @property
    def mask_id(self) -> int:
        """Id of the masked image token."""
        return self.image_offset + self.codebook_size

    @property
    def size(self) -> int:
        """Rows of the embedding and of the output head."""
        return self.mask_id + 1

    @property
    def text_rows(self) -> slice:
        """Rows of the output head that predict text."""
        return slice(0, self.text_size)

    @property
    def image_rows(self) -> slice:
        """Rows of the output head that predict image codes."""
        return slice(self.image_offset, self.mask_id)
