import io

import pytest
from rich.console import Console

from showo_turbo.errors import UserError
from showo_turbo.trajectories import StoreIdentity, TrajectoryStore, describe_store
from showo_turbo.trajectories.shards import pack_images, pack_texts

from .conftest import random_image_record, text_record


def printed(folder):
    console = Console(file=io.StringIO(), width=140)
    console.print(describe_store(folder))
    return console.file.getvalue()


def test_images(tmp_path):
    settings = {"sampling.sampling_steps": 8, "segments": 4, "sampling.guidance_scale": 1.5}
    store = TrajectoryStore.create_or_continue(
        tmp_path, StoreIdentity("images", "f" * 64, "p", 2, 2, settings)
    )
    text = printed(tmp_path)
    assert "unfinished" in text
    records = [random_image_record(0), random_image_record(1)]
    records[1].prompt = "[red] a bracketed prompt"
    totals = {"positions": 32, "kept_mass": 30.0}
    store.write_shard(0, pack_images(records, 16), samples=2, totals=totals)
    store.finish()
    text = printed(tmp_path)
    for fact in ("images", "f" * 64, "guidance scale", "1.5", "0.9375", "a prompt 0"):
        assert fact in text, fact
    assert "[red] a bracketed prompt" in text
    assert "unfinished" not in text


def test_texts(tmp_path):
    store = TrajectoryStore.create_or_continue(
        tmp_path, StoreIdentity("texts", "t", "p", 4, 4, {"decoding.block_size": 4})
    )
    store.write_shard(
        0,
        pack_texts([text_record()], 4),
        samples=1,
        filtered={"unfinished": 2, "repetitive": 1},
        totals={"answer_tokens": 6, "blocks": 2, "iterations": 4},
    )
    store.finish()
    text = printed(tmp_path)
    for fact in ("left out: unfinished", "2 (50.0%)", "left out: repetitive", "what is it?", "3 1"):
        assert fact in text, fact
    assert "2.00" in text


def test_all_left_out(tmp_path):
    store = TrajectoryStore.create_or_continue(
        tmp_path, StoreIdentity("texts", "t", "p", 1, 1, {"decoding.block_size": 4})
    )
    totals = {"answer_tokens": 0, "blocks": 0, "iterations": 0}
    store.write_shard(0, pack_texts([], 4), samples=0, filtered={"unfinished": 1}, totals=totals)
    store.finish()
    assert "1 (100.0%)" in printed(tmp_path)


@pytest.mark.bad_input
def test_what_is_no_store(tmp_path):
    with pytest.raises(UserError, match=r"manifest.json does not exist"):
        describe_store(tmp_path)
