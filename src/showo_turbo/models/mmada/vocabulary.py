"""The one owner of token ids: text, special tokens, the mask and image codes share one table."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Vocabulary:
    """How MMaDA numbers its tokens: `text and specials | image codes | unused`.

    An image *code* is `0 .. codebook_size - 1`, as the image tokenizer gives it; its token *id* is
    `code + image_offset`. One mask, among the specials, stands for text and for image tokens.

    Args:
        bos_id: Begins every text.
        eos_id: Ends a text, and fills what follows it.
        soi_id: Start of image. The other special tokens follow it in a fixed order.
        mask_id: Stands for a masked token.
        start_header_id: Begins the name of a speaker; what ends it, and what ends a turn, follow.
        image_offset: Id of image code 0, which is the length of the text tokenizer.
        codebook_size: Number of image codes.

    Source: the released prompting code (github.com/Gen-Verse/MMaDA) and the tokenizer of LLaDA.
    """

    bos_id: int = 126080
    eos_id: int = 126081
    soi_id: int = 126084
    mask_id: int = 126336
    start_header_id: int = 126346
    image_offset: int = 126349
    codebook_size: int = 8192

    @property
    def eoi_id(self) -> int:
        """End of image."""
        return self.soi_id + 1

    @property
    def t2i_id(self) -> int:
        """Task token: text to image. Those of videos, unused here, come before it."""
        return self.soi_id + 4

    @property
    def mmu_id(self) -> int:
        """Task token: multimodal understanding."""
        return self.soi_id + 5

    @property
    def pad_id(self) -> int:
        """`[iPAD]`, to the left of prompts for images. Further task tokens come before it."""
        return self.soi_id + 9

    @property
    def end_header_id(self) -> int:
        """Ends the name of a speaker."""
        return self.start_header_id + 1

    @property
    def eot_id(self) -> int:
        """Ends a turn of a conversation."""
        return self.start_header_id + 2

    @property
    def special_ids(self) -> dict[str, int]:
        """Ids that no two tokens may share, by their names."""
        names = ("bos_id", "eos_id", "soi_id", "eoi_id", "t2i_id", "mmu_id", "pad_id", "mask_id")
        headers = ("start_header_id", "end_header_id", "eot_id")
        return {name: getattr(self, name) for name in (*names, *headers)}

    @property
    def mask_code(self) -> int:
        """The code that stands for a masked image token."""
        return self.codebook_size

    @property
    def text_rows(self) -> slice:
        """Rows of the output head that predict text, the mask's among them."""
        return slice(0, self.image_offset)

    @property
    def image_rows(self) -> slice:
        """Rows of the output head that predict image codes."""
        return slice(self.image_offset, self.image_offset + self.codebook_size)

    def ids_of(self, codes: Tensor) -> Tensor:
        """Token ids of image codes, of which `mask_code` is masked."""
        return (codes + self.image_offset).masked_fill(codes == self.mask_code, self.mask_id)
