"""A small vision encoder for the shapes world, in place of CLIP, where `inputs.py` needs one.

It learns, as CLIP did, to tell which description belongs to which image (arXiv 2103.00020).
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from showo_turbo.data.images import load_image
from showo_turbo.models.vision_encoders import CLIPFeatures
from showo_turbo.shapes.conversations import DESCRIBE_QUESTION
from showo_turbo.shapes.scene import IMAGE_SIZE
from showo_turbo.text_tokenizer import TextTokenizer
from showo_turbo.training.schedules import WarmupStableDecay
from showo_turbo.utils.files import read_json, write_atomically, write_json

WIDTH = 64
SIZES = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": 4}
PATCH = 4
LONGEST = 128
"""Tokens of a description at most."""

LARGEST_SCALE = 4.6052
"""Logarithm of 100, as for CLIP."""

SAVED_EVERY = 100


def descriptions(world: Path, file: str) -> list[dict[str, Any]]:
    """The dense descriptions in a file of conversations, as records of a single question each."""
    found = []
    for record in read_json(world / file):
        turns = record["conversations"]
        for asked, answered in zip(turns[::2], turns[1::2], strict=True):
            if DESCRIBE_QUESTION in asked["value"]:
                found.append(record | {"conversations": [asked, answered]})
    return found


class Pairs:
    """Images of the world with their descriptions.

    Args:
        world: Folder of the world.
        file: Conversations in LLaVA's format.
    """

    def __init__(self, world: Path, file: str) -> None:
        tokenizer = TextTokenizer.from_pretrained("shapes")
        records = descriptions(world, file)
        images = [load_image(world / record["image"], IMAGE_SIZE) for record in records]
        self.pixels = torch.stack(images)
        self.ids = torch.full((len(records), LONGEST), tokenizer.eos_id)
        for row, record in zip(self.ids, records, strict=True):
            ids = tokenizer.encode(record["conversations"][1]["value"])[: LONGEST - 1]
            row[: len(ids)] = torch.tensor(ids)
        lengths = (self.ids != tokenizer.eos_id).sum(dim=1)
        self.ids = self.ids[:, : int(lengths.max()) + 1]

    def batch(self, step: int, size: int) -> Tensor:
        """Which pairs a step trains on: all of them, in another order each time through."""
        batches = max(1, len(self.ids) // size)
        epoch, place = divmod(step, batches)
        order = torch.randperm(len(self.ids), generator=torch.Generator().manual_seed(epoch))
        return order[place * size : (place + 1) * size]


def new_clip(seed: int = 0) -> CLIPModel:
    """CLIP in small: 36 patches of 4 x 4 pixels."""
    torch.manual_seed(seed)
    tokenizer = TextTokenizer.from_pretrained("shapes")
    text = {"vocab_size": tokenizer.size, "max_position_embeddings": LONGEST}
    text |= {"bos_token_id": tokenizer.bos_id, "eos_token_id": tokenizer.eos_id}
    text |= {"num_hidden_layers": 2}
    vision = {"image_size": IMAGE_SIZE, "patch_size": PATCH, "num_hidden_layers": 4}
    return CLIPModel(
        CLIPConfig(text_config=SIZES | text, vision_config=SIZES | vision, projection_dim=WIDTH)
    )


def train_encoder(folder: Path, train: Pairs, steps: int, batch_size: int = 256) -> CLIPModel:
    """Train by contrast within batches; goes on where an earlier try ended.

    Args:
        folder: Where the training's state goes.
        train: Images with their descriptions.
        steps: Of the optimizer.
        batch_size: Pairs of a batch, among which each image finds its description.
    """
    model = new_clip()
    normalize = CLIPFeatures(model.vision_model).normalize
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    schedule = WarmupStableDecay(optimizer, min(100, steps // 5), steps, steps // 2)
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "schedule": schedule}
    path, first = folder / "training.pt", 0
    if path.exists():
        state = torch.load(path, weights_only=True)
        first = state["step"]
        for name, part in parts.items():
            part.load_state_dict(state[name])
    model.train()
    for step in range(first, steps):
        chosen = train.batch(step, batch_size)
        loss = model(
            input_ids=train.ids[chosen],
            pixel_values=normalize(train.pixels[chosen]),
            return_loss=True,
        ).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=LARGEST_SCALE)
        if (step + 1) % SAVED_EVERY == 0 or step + 1 == steps:
            print(f"vision encoder, step {step + 1} of {steps}: {loss.item():.3f}", flush=True)
            state = {name: part.state_dict() for name, part in parts.items()}
            with write_atomically(path) as temporary:
                torch.save(state | {"step": step + 1}, temporary)
    return model.eval()


@torch.no_grad()
def retrieval(model: CLIPModel, pairs: Pairs) -> float:
    """Share of images that their own description fits best, among those of all images."""
    pixels = CLIPFeatures(model.vision_model).normalize(pairs.pixels)
    scores = model(input_ids=pairs.ids, pixel_values=pixels).logits_per_image
    best = pairs.ids[scores.argmax(dim=1)]
    return float((best == pairs.ids).all(dim=1).float().mean())


def vision_encoder(folder: Path, world: Path, files: tuple[str, str], steps: int) -> float:
    """Write a vision encoder into `folder`, once, and give its share of images told apart.

    Args:
        folder: The encoder's, in the layout of `CLIPFeatures`.
        world: Folder of the world.
        files: Conversations to train on, and to measure on.
        steps: Of the optimizer.
    """
    noted = folder / "retrieval.json"
    if not noted.exists():
        folder.mkdir(parents=True, exist_ok=True)
        model = train_encoder(folder, Pairs(world, files[0]), steps)
        CLIPFeatures(model.vision_model).save_pretrained(folder)
        write_json(noted, {"share": round(retrieval(model, Pairs(world, files[1])), 4)})
    share: float = read_json(noted)["share"]
    return share
