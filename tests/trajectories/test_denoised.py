"""Trajectories of denoised answers, against a twin that denoises one answer at a time."""

import pytest
import torch

from showo_turbo.data.trajectory_streams import DenoisedTextStream
from showo_turbo.errors import UserError
from showo_turbo.models.layout import Layout
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.trajectories import (
    DenoisedTextDataset,
    TextCollection,
    TextRequest,
    TextTrajectoryDataset,
    TrajectoryStore,
    collect_texts,
    describe_store,
    fingerprint_module,
    open_texts,
    text_identity,
)
from showo_turbo.trajectories.text_collector import record_texts

from ..tiny import tiny_showo
from ..tiny_mmada import ending_often, tiny_mmada

pytestmark = pytest.mark.mmada

MASK, EOS, EOT = 36, 25, 39
LENGTH, SIZE, STEPS = 12, 4, 4  # of an answer, of a block, and steps of a block
KEPT, SEGMENTS = 3, 4
DECODING = TextDecoding(
    method="block_diffusion", max_new_tokens=LENGTH, block_size=SIZE, sampling_steps=12
)
SETTINGS = TextCollection(
    DECODING,
    segments=SEGMENTS,
    topk_targets=KEPT,
    max_repeats=100,
    batch_size=5,
    shard_size=6,
)


@pytest.fixture(scope="module")
def network():
    return ending_often(tiny_mmada(3), 4.0).double()


@pytest.fixture(scope="module")
def requests():
    generator = torch.Generator().manual_seed(2)
    return [
        TextRequest(
            f"r{i}",
            torch.randint(0, 24, (16,), generator=generator),
            torch.randint(0, 24, (1 + i % 4,), generator=generator).tolist(),
            f"what is in image {i}?",
        )
        for i in range(16)
    ]


@pytest.fixture(scope="module")
def records(network, requests):
    outcomes = record_texts(network, requests, range(len(requests)), SETTINGS)
    found = {
        request.key: outcome
        for request, outcome in zip(requests, outcomes, strict=True)
        if not isinstance(outcome, str)
    }
    blocks = {len(record.blocks) for record in found.values()}
    assert len(found) < len(requests) and len(blocks) > 1, "the test wants some of each"
    return found


@torch.no_grad()
def log_probs_of(network, request, answer):
    """`(LENGTH, ids)` from one whole sequence without padding; the mask is no candidate."""
    image = [code + 40 for code in request.image.tolist()]
    ids = torch.tensor([[31, 26, *image, 27, 24, *request.ids, *answer]])
    logits = network(ids, Layout(torch.ones_like(ids)))[0, -LENGTH:, :40]
    logits[:, MASK] = -torch.inf
    return logits.float().log_softmax(-1)


def naive_blocks(network, request, steps=STEPS):
    """Of each block its states, and `(step, log-probabilities)` of every reveal and state."""
    answer, blocks = [MASK] * LENGTH, []
    for begin in range(0, LENGTH, SIZE):
        states, reveals, predicted = [list(answer)], {}, []
        for step in range(1, steps + 1):
            log_probs = log_probs_of(network, request, answer)
            predicted.append(log_probs)
            masked = [i for i in range(begin, begin + SIZE) if answer[i] == MASK]
            surest = sorted(masked, key=lambda i: -float(log_probs[i].max()))
            for i in surest[: SIZE // steps]:
                answer[i] = int(log_probs[i].argmax())
                reveals[i] = step
            states.append(list(answer))
        blocks.append((states, reveals, predicted))
        if {EOS, EOT} & set(answer[begin : begin + SIZE]):
            return answer, blocks
    return None, blocks


def test_records_are_those_of_the_twin(network, requests, records):
    for request in requests:
        answer, blocks = naive_blocks(network, request)
        assert (answer is None) == (request.key not in records)
        if answer is None:
            continue
        record = records[request.key]
        assert record.length == LENGTH and len(record.blocks) == len(blocks)
        ends = [i for i, token in enumerate(answer) if token in (EOS, EOT)]
        assert record.answer_ids.tolist() == answer[: ends[0] + 1]
        assert torch.equal(record.image.long(), request.image)
        for number, (states, reveals, _) in enumerate(blocks):
            for k, state in enumerate(states):
                assert record.state(number, k, MASK).tolist() == state
            steps = [reveals[i] for i in range(number * SIZE, (number + 1) * SIZE)]
            assert record.blocks[number].reveal_step.tolist() == steps


@pytest.mark.parametrize("segments", [1, 2, 4])
def test_targets_are_those_of_the_twin(network, requests, records, segments):
    """Predicted at the reveal, or from the state at the segment's end if the reveal is later."""
    for request in [request for request in requests if request.key in records][:5]:
        record = records[request.key]
        for number, (_, reveals, predicted) in enumerate(naive_blocks(network, request)[1]):
            for k in range(STEPS):
                ids, log_probs = record.blocks[number].distribution(k, segments)
                end = (k // (STEPS // segments) + 1) * (STEPS // segments)
                for place in range(SIZE):
                    i = number * SIZE + place
                    if reveals[i] <= k:
                        continue
                    state = reveals[i] - 1 if reveals[i] <= end else end
                    expected = predicted[state][i].topk(KEPT)
                    assert ids[place].tolist() == expected.indices.tolist()
                    torch.testing.assert_close(
                        log_probs[place], expected.values.half().float(), atol=2e-2, rtol=2e-3
                    )


def collected(folder, network, requests, settings=SETTINGS):
    identity = text_identity(fingerprint_module(network), requests, settings)
    store = TrajectoryStore.create_or_continue(folder, identity)
    return collect_texts(network, requests, settings, store, progress=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory, network, requests):
    return collected(tmp_path_factory.mktemp("texts") / "store", network, requests)


def test_a_store_gives_them_back(store, requests, records):
    dataset = open_texts(store)
    assert isinstance(dataset, DenoisedTextDataset) and len(dataset) == len(records)
    assert store.filtered == {"unfinished": len(requests) - len(records)}
    for index in range(len(dataset)):
        found = dataset[index]
        wanted = records[found.key]
        assert (found.text, found.length) == (wanted.text, wanted.length)
        assert torch.equal(found.answer_ids, wanted.answer_ids)
        for mine, theirs in zip(found.blocks, wanted.blocks, strict=True):
            assert torch.equal(mine.reveal_step, theirs.reveal_step)
            assert torch.equal(mine.top_ids, theirs.top_ids)
            assert torch.equal(mine.boundary_top_ids, theirs.boundary_top_ids)
            assert (mine.steps, mine.recorded_segments) == (STEPS, SEGMENTS)
    assert describe_store(store.folder)


def test_a_batch_holds_the_states_of_one_block(store):
    stream = DenoisedTextStream(store, MASK, segments=2)
    items = [stream.draw(index, seed) for index in range(len(stream)) for seed in (1, 2, 3)]
    assert len({place for _, place, _ in items}) > 4, "blocks and steps vary"
    assert len({seed for *_, seed in items}) == len(items)
    batch = stream.collate(items)
    for row, (record, (block, k), _) in enumerate(items):
        end = (k // 2 + 1) * 2
        t = end if end < STEPS else STEPS - 1
        assert torch.equal(batch.state_k[row], record.state(block, k, MASK))
        assert torch.equal(batch.state_t[row], record.state(block, t, MASK))
        begin, tokens = block * SIZE, record.tokens
        assert batch.columns[row].tolist() == list(range(begin, begin + SIZE))
        assert torch.equal(batch.codes[row], tokens[begin : begin + SIZE])
        assert torch.equal(batch.masked_k[row], batch.state_k[row, begin : begin + SIZE] == MASK)
        assert torch.equal(batch.masked_t[row], batch.state_t[row, begin : begin + SIZE] == MASK)
        assert torch.equal(batch.answers[row, : len(tokens)], tokens)
        assert (batch.answers[row, len(tokens) :] == MASK).all()
        assert batch.segment[row] == k // 2


@pytest.mark.bad_input
class TestMistakes:
    def test_segments_that_do_not_divide_the_steps_of_a_block(self):
        with pytest.raises(UserError, match="3 segments do not divide 4 steps"):
            TextCollection(DECODING, segments=3)

    def test_segments_that_were_not_recorded(self, tmp_path, network, requests):
        settings = TextCollection(DECODING, segments=2, max_repeats=100)
        store = collected(tmp_path / "store", network, requests, settings)
        with pytest.raises(UserError, match=r"4 segments are asked of .* recorded for 2"):
            DenoisedTextStream(store, MASK, segments=4)

    def test_a_store_of_the_other_kind(self, store, tmp_path):
        with pytest.raises(UserError, match="holds denoised texts"):
            TextTrajectoryDataset(store)

    def test_jacobi_asked_of_a_model_that_has_none(self, tmp_path, network, requests):
        with pytest.raises(UserError, match="method is 'jacobi', but MMaDA denoises its text"):
            collected(tmp_path / "a", network, requests, TextCollection())

    def test_block_diffusion_asked_of_a_model_that_has_none(self, tmp_path, requests):
        with pytest.raises(UserError, match="Showo writes from left to right"):
            collected(tmp_path / "b", tiny_showo(), requests)

    def test_a_shard_that_contradicts_itself(self, store, tmp_path, network, requests):
        """Blocks that the answers do not fill."""
        from safetensors.torch import load_file

        path = store.shard_path(0)
        tensors = load_file(path)
        tensors["answer_length"] = tensors["answer_length"] + SIZE
        broken = TrajectoryStore.create_or_continue(tmp_path / "c", store.identity)
        for index, shard in store.manifest.shards.items():
            content = tensors if index == 0 else load_file(store.shard_path(index))
            broken.write_shard(index, content, samples=shard.samples, totals=shard.totals)
        broken.finish()
        with pytest.raises(UserError, match=r"blocks\.offsets does not give every answer the"):
            open_texts(broken)[0]
