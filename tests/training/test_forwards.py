import torch

from showo_turbo.prompting import UnifiedPrompting
from showo_turbo.training.forwards import block_logits, image_logits
from showo_turbo.trajectories import TextBlock, collate_text_blocks

from .. import naive
from ..tiny import tiny_showo


def test_image_logits_are_those_of_the_whole_unbatched_sequence():
    model = tiny_showo()
    prompting = UnifiedPrompting(model.vocabulary, model.config.max_text_length)
    codes = torch.randint(0, 25, (3, 16))
    prompts = [[1, 2, 3], [], [4]]
    with torch.no_grad():
        found = image_logits(model, prompting, prompts, codes)
        for row, prompt in enumerate(prompts):
            expected = naive.image_logits(model, prompt, codes[row].tolist(), pad_to=13)
            torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-4)


def test_block_logits_are_those_of_each_unbatched_sequence():
    model = tiny_showo()
    prompting = UnifiedPrompting(model.vocabulary, model.config.max_text_length)
    generator = torch.Generator().manual_seed(0)

    def ids(count):
        return torch.randint(0, 29, (count,), generator=generator)

    blocks = [
        TextBlock(
            key=str(i),
            image_codes=torch.randint(0, 24, (16,), generator=generator),
            prompt_ids=ids(1 + i),
            prefix_ids=ids(4 * i),
            iterates=torch.stack([ids(4), ids(4), ids(4)]),
            valid_length=4,
        )
        for i in range(3)
    ]
    batch = collate_text_blocks(blocks, [0, 1, 0], segments=1)
    with torch.no_grad():
        found = block_logits(model, prompting, batch, [batch.tokens_k, batch.fixed_point])
        for version, tokens in zip(found, (batch.tokens_k, batch.fixed_point), strict=True):
            for row, block in enumerate(blocks):
                before = [*block.prompt_ids.tolist(), *block.prefix_ids.tolist()]
                text = [*before, *tokens[row].tolist()]
                sequence = naive.text_sequence(model, block.image_codes.tolist(), text)
                start = 16 + 3 + len(before)  # after `mmu soi image eoi`: the place of token i - 1
                expected = model(*sequence)[0, start : start + 4, : model.vocabulary.text_size]
                torch.testing.assert_close(version[row], expected, rtol=1e-4, atol=1e-4)
