"""MMaDA: one bidirectional transformer over text and image tokens, all of which it denoises."""

from collections.abc import Sequence
from typing import ClassVar, cast

from torch import Tensor, nn

from ...errors import UserError
from ...text_tokenizer import TextTokenizer
from ..layout import Layout
from ..masked_text import MaskedTextModel
from ..prompts import required_tokenizer
from ..recomputation import checkpoint_options
from .config import MMaDAConfig
from .sequences import UnifiedPrompting, conversation_turns
from .transformer import Transformer


class MMaDA(MaskedTextModel):
    """LLaDA over the joint vocabulary; denoises image tokens and text tokens.

    Every position predicts its own token (unshifted) and sees all others, so that nothing can be
    cached: every forward pass is one of whole sequences.

    Args:
        config: Sizes.

    Source: MMaDA (arXiv 2505.15809); the state dict is key for key that of the released files.
    """

    config_class: ClassVar[type[MMaDAConfig]] = MMaDAConfig

    def __init__(self, config: MMaDAConfig) -> None:
        super().__init__(config)
        self.config: MMaDAConfig = config
        self.vocabulary = config.vocabulary
        self.sequences = UnifiedPrompting(
            config.vocabulary, config.max_text_length, config.padding == "visible"
        )
        # Named as in the released checkpoints, whose keys all begin with "model.transformer.".
        self.model = nn.ModuleDict({"transformer": Transformer(config)})

    @property
    def transformer(self) -> Transformer:
        """The transformer."""
        return cast(Transformer, self.model["transformer"])

    @property
    def longest_prompt(self) -> int:
        """Most text ids of a prompt; the task token and `bos` are not counted."""
        return self.config.max_text_length - 2

    @property
    def eot_id(self) -> int:
        """Ends an answer of a conversation."""
        return self.vocabulary.eot_id

    @property
    def end_ids(self) -> Sequence[int]:
        """End an answer of a conversation, and a plain text such as a caption."""
        return self.vocabulary.eot_id, self.vocabulary.eos_id

    @property
    def filler_id(self) -> int:
        """Ends a plain text, and fills what follows."""
        return self.vocabulary.eos_id

    @property
    def text_mask_id(self) -> int:
        """Stands for a masked token of text, as of an image."""
        return self.vocabulary.mask_id

    def adapt_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights as they are, checked for rows of image codes.

        Raises:
            UserError: If they have none: LLaDA's keys are the same.
        """
        table, last = state.get("model.transformer.wte.weight"), self.vocabulary.image_rows.stop
        if table is not None and table.ndim == 2 and len(table) < last:
            raise UserError(
                f"the weights have rows for {len(table)} tokens, but the image codes end at id "
                f"{last - 1}; expected those of MMaDA, not of LLaDA, the text model it is made of, "
                "name another model"
            )
        return state

    def encode_prompt(self, text_tokenizer: TextTokenizer | None, text: str) -> list[int]:
        """Text ids of a prompt, without special tokens."""
        return required_tokenizer(self, text_tokenizer).encode(text)

    def encode_question(self, text_tokenizer: TextTokenizer | None, question: str) -> list[int]:
        """Text ids of a question in the chat template, up to where the answer begins."""
        tokenizer, v = required_tokenizer(self, text_tokenizer), self.vocabulary
        ids: list[int] = []
        for speaker, text in conversation_turns(question):
            ids += [v.start_header_id, *tokenizer.encode(speaker), v.end_header_id]
            ids += [*tokenizer.encode(f"\n{text}"), v.eot_id]
        return ids[:-1]

    def image_logits(
        self, prompts: Sequence[Sequence[int]], codes: Tensor, noise: Tensor | None = None
    ) -> Tensor:
        """Predict every image token of a state; see `ImageModel.image_logits`."""
        hidden = self.hidden_states(*self.sequences.text_to_image(prompts, codes))
        image = hidden[:, -codes.shape[1] - 1 : -1]
        return self.transformer.logits(image, self.vocabulary.image_rows)

    def text_logits(
        self,
        images: Tensor | None,
        prompts: Sequence[Sequence[int]],
        answers: Tensor,
        columns: slice | Tensor = slice(None),
        *,
        unconditional: Tensor | None = None,
        restrict_to_text: bool = True,
    ) -> Tensor:
        """Predict tokens of answers; see `MaskedTextModel.text_logits`."""
        batch = self.sequences.answering(images, prompts, answers, unconditional)
        hidden = self.hidden_states(*batch)[:, -answers.shape[1] :]
        if isinstance(columns, slice):
            hidden = hidden[:, columns]
        else:
            hidden = hidden.take_along_dim(columns[..., None], dim=1)
        rows = self.vocabulary.text_rows if restrict_to_text else slice(None)
        return self.transformer.logits(hidden, rows)

    def hidden_states(self, input_ids: Tensor, layout: Layout) -> Tensor:
        """Run the transformer over whole sequences; `(batch, tokens, hidden)`."""
        everything = layout.padding is None or layout.padding_visible
        mask = None if everything else layout.attention_mask
        return cast(Tensor, self.transformer(input_ids, layout.position_ids, mask))

    def forward(self, input_ids: Tensor, layout: Layout) -> Tensor:
        """Logits `(batch, tokens, vocabulary)` of whole sequences."""
        return self.transformer.logits(self.hidden_states(input_ids, layout))

    def gradient_checkpointing_enable(self, elementwise: bool = False) -> None:
        """Recompute each layer in the backward pass instead of storing it; see `ImageModel`."""
        self.transformer.recomputed = checkpoint_options(elementwise)

    def lora_layers(self) -> tuple[nn.Module, nn.Module]:
        """The blocks that adapters go into, and the module that keeps their scaling."""
        return self.transformer.blocks, self.transformer
