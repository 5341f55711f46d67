"""The process that ImageReward runs in; see `showo_turbo.metrics.image_reward`.

It is started as a file, not imported, and knows nothing of this package: its libraries are others.
Requests and replies are lines of JSON: `{"prompts": [...], "images": [<base64 of a PNG>, ...]}`
gives `{"rewards": [...]}` or `{"error": "..."}`. A first line `{"ready": true}` says that the model
is loaded.
"""

import base64
import json
import os
import sys
from io import BytesIO
from typing import Any

BERT = "bert-base-uncased"


def main() -> None:
    """Load the model that the arguments name, then answer until the input ends."""
    weights, med_config, tokenizer, device = sys.argv[1:]
    # What libraries print must not get among the replies.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def reply(content: dict[str, Any]) -> None:
        replies.write(json.dumps(content) + "\n")
        replies.flush()

    try:
        model = load(weights, med_config, tokenizer, device)
    except Exception as error:
        reply({"error": f"{type(error).__name__}: {error}"})
        return
    reply({"ready": True})
    for line in sys.stdin:
        try:
            reply({"rewards": score(model, json.loads(line))})
        except Exception as error:
            reply({"error": f"{type(error).__name__}: {error}"})


def load(weights: str, med_config: str, tokenizer: str, device: str) -> Any:
    """The reward model from local files, its text tokenizer too."""
    from transformers import BertTokenizer

    original = BertTokenizer.from_pretrained.__func__  # type: ignore[attr-defined]

    def local(cls: Any, name: str, *arguments: Any, **options: Any) -> Any:
        return original(cls, tokenizer if name == BERT else name, *arguments, **options)

    BertTokenizer.from_pretrained = classmethod(local)  # type: ignore[assignment, method-assign]
    import ImageReward  # type: ignore[import-not-found]

    return ImageReward.load(weights, device=device, med_config=med_config)


def score(model: Any, request: dict[str, Any]) -> list[float]:
    """The reward of each image for its prompt."""
    from PIL import Image

    rewards = []
    for prompt, encoded in zip(request["prompts"], request["images"], strict=True):
        image = Image.open(BytesIO(base64.b64decode(encoded)))
        rewards.append(float(model.score(prompt, image)))
    return rewards


if __name__ == "__main__":
    main()
