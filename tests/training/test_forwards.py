import torch

from showo_turbo.prompting import UnifiedPrompting
from showo_turbo.training.forwards import image_logits

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
