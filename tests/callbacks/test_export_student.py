import pytest
import torch

from showo_turbo.callbacks import ExportStudent
from showo_turbo.errors import UserError
from showo_turbo.inference import ShowoPipeline
from showo_turbo.inference.generation_config import load_generation_config
from showo_turbo.models.magvitv2 import MAGVITv2
from showo_turbo.models.showo import Showo
from showo_turbo.sampling.image_sampling import ImageSampling
from showo_turbo.sampling.text_decoding import TextDecoding
from showo_turbo.text_tokenizer import TextTokenizer

from ..tiny_mmada import shapes_mmada
from .runs import Bystander, make_trainer, turbo_module


def assert_same_weights(folder, network):
    exported = Showo.from_pretrained(folder).state_dict()
    assert exported.keys() == network.state_dict().keys()
    for key, value in network.state_dict().items():
        assert torch.equal(exported[key], value), key


def test_the_trained_student_is_exported(tmp_path):
    module = Bystander()
    before = module.student.showo.lm_head.weight.detach().clone()
    make_trainer(tmp_path, ExportStudent()).fit(module)
    assert not torch.equal(before, module.student.showo.lm_head.weight)
    assert_same_weights(tmp_path / "student", module.student)
    names = {path.name for path in (tmp_path / "student").iterdir()}
    weights = {"config.json", "pytorch_model.safetensors", "image_tokenizer"}
    assert names == {*weights, "tokenizer.json", "README.md"}
    assert "| optimizer steps | 2 |" in (tmp_path / "student" / "README.md").read_text()
    images = MAGVITv2.from_pretrained(tmp_path / "student").state_dict()
    for key, value in module.image_tokenizer.state_dict().items():
        assert torch.equal(images[key], value), key
    text = "a red circle above a blue square"
    tokenizer = TextTokenizer.from_pretrained(tmp_path / "student")
    assert tokenizer.encode(text) == module.text_tokenizer.encode(text)


def test_a_student_that_denoises_its_text(tmp_path):
    """How it answers is written in any case: by the one method that it has."""
    module = Bystander()
    module.student = shapes_mmada()
    make_trainer(tmp_path, ExportStudent()).fit(module)
    (tmp_path / "student").rename(tmp_path / "moved")
    assert load_generation_config(tmp_path / "moved").decoding == TextDecoding("block_diffusion")
    loaded = ShowoPipeline.from_pretrained(tmp_path / "moved")
    expected = ShowoPipeline(module.student, module.image_tokenizer, module.text_tokenizer)
    (image,) = expected.generate(["a red circle"], sampling_steps=2).images
    own = loaded.answer([image], "What is it?", max_new_tokens=16)
    method = {"method": "block_diffusion", "max_new_tokens": 16}
    assert own.tokens == expected.answer([image], "What is it?", **method).tokens


def test_into_another_folder_and_over_an_older_export(tmp_path):
    export = ExportStudent(tmp_path / "out" / "model")
    make_trainer(tmp_path, export).fit(Bystander())
    module = Bystander()
    make_trainer(tmp_path, export, max_epochs=2).fit(module)
    assert_same_weights(tmp_path / "out" / "model", module.student)


def test_a_run_with_nothing_left_to_train(tmp_path):
    """Resumed after its last epoch, the trainer skips the training but not the end."""
    trainer = make_trainer(tmp_path, enable_checkpointing=False)
    module = Bystander()
    trainer.fit(module)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    again = Bystander()
    make_trainer(tmp_path, ExportStudent()).fit(again, ckpt_path=tmp_path / "last.ckpt")
    assert_same_weights(tmp_path / "student", module.student)


def test_how_it_draws_best_goes_with_it(tmp_path):
    sampling = ImageSampling(sampling_steps=4, shared_noise_seed=9)
    make_trainer(tmp_path, ExportStudent(sampling=sampling)).fit(Bystander())
    assert load_generation_config(tmp_path / "student").sampling == sampling


def test_the_module_s_own_ways_go_with_it(tmp_path):
    module = turbo_module(tmp_path)
    module.configure_model()
    assert (module.sampling, module.decoding) == ExportStudent()._options(module)
    other = ImageSampling(sampling_steps=2)
    assert ExportStudent(sampling=other)._options(module) == (other, module.decoding)


def test_a_try_writes_nothing(tmp_path):
    make_trainer(tmp_path, ExportStudent(), fast_dev_run=True).fit(Bystander())
    assert not (tmp_path / "student").exists()


@pytest.mark.bad_input
def test_a_way_of_drawing_that_it_has_not(tmp_path):
    export = ExportStudent(sampling=ImageSampling(sampling_steps=99))
    with pytest.raises(UserError, match="steps is 99"):
        make_trainer(tmp_path, export).fit(Bystander())
    assert not (tmp_path / "student").exists()


@pytest.mark.bad_input
def test_a_file_in_the_way(tmp_path):
    (tmp_path / "student").write_text("mine")
    with pytest.raises(UserError, match="is a file"):
        make_trainer(tmp_path, ExportStudent()).fit(Bystander())
    assert (tmp_path / "student").read_text() == "mine"


@pytest.mark.bad_input
def test_a_module_without_student(tmp_path):
    with pytest.raises(UserError, match="student of Bystander"):
        make_trainer(tmp_path, ExportStudent()).fit(Bystander(name="model"))
    assert not (tmp_path / "student").exists()
