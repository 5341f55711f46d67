"""Keys of earlier versions, on dictionaries and through the check of files and options."""

import pytest
import yaml

from showo_turbo.cli.config_files import check_config_files
from showo_turbo.cli.old_keys import check_config, check_sweep
from showo_turbo.errors import UserError


def entry(name, **options):
    return {"class_path": name, "init_args": options}


def curriculum(**options):
    return {"trainer": {"callbacks": [entry("FiniteGuard"), entry("Curriculum", **options)]}}


def stage(**options):
    return curriculum(stages=[{"epochs": 1}, options])


def speedup(**settings):
    return {
        "trainer": {"callbacks": [entry("showo_turbo.callbacks.SpeedupReport", settings=settings)]}
    }


def turbo(**options):
    return {"model": entry("ShowoTurbo", **options)}


def evaluation(**options):
    return turbo(evaluation=options)


def data(name="DistillationDataModule", **options):
    return {"data": entry(name, **options)}


FILES = {"images": "folder", "annotations": "file.json"}
CAPTIONS = "captions is now {class_path: CaptionFiles, init_args: {...}}; write it so"

OLD = [
    (stage(kept_codes=1), "stages[1].kept_codes is now topk_targets; rename it"),
    (stage(steps=4), "stages[1].steps is now sampling_steps within the stage's sampling"),
    (stage(guidance_scale=1), "stages[1].guidance_scale is now guidance_scale within the stage's"),
    (stage(confidence_temperature=1), "stages[1].confidence_temperature is now confidence_temp"),
    (stage(order_seed=1), "stages[1].order_seed is now shared_noise_seed within the stage's"),
    (stage(shared_noise_seed=1), "stages[1].shared_noise_seed is now shared_noise_seed within"),
    (stage(final_learning_rate=1), "stages[1].final_learning_rate is now the end of an lr_sched"),
    (curriculum(kept_codes=1), "kept_codes is now topk_targets; rename it"),
    (curriculum(mask_schedule="pow"), "mask_schedule is now mask_schedule of the model's teacher_"),
    (curriculum(block_size=8), "block_size is now block_size of the model's decoding; move it"),
    (curriculum(max_new_tokens=8), "max_new_tokens is now max_new_tokens of the model's decoding"),
    (evaluation(steps=[4]), "evaluation.steps is now sampling_steps; rename it"),
    (evaluation(fit_steps=[4]), "evaluation.fit_steps is now fit_sampling_steps; rename it"),
    (evaluation(order_seed=4), "evaluation.order_seed is now shared_noise_seed of the model's"),
    (evaluation(top_k=4), "evaluation.top_k is now top_k of the model's sampling; move it there"),
    (evaluation(max_new_tokens=4), "evaluation.max_new_tokens is now max_new_tokens of the model"),
    (evaluation(baseline="shapes"), "evaluation.baseline is now teacher; rename it"),
    (evaluation(baseline_sampling={}), "evaluation.baseline_sampling is now teacher_samplings, a"),
    (data(shapes={"folder": "data"}), "shapes is now {class_path: ShapesWorld, init_args: {...}}"),
    (speedup(student_guidance=[1]), "settings.student_guidance is now guidance_scales, with 0.0"),
    ({"model": {"init_args": {"evaluation": {"steps": [4]}}}}, "model.evaluation.steps is now"),
    (turbo(weights={"language": 0}), "weights is now losses, a mapping of names to loss terms"),
    (turbo(consistency_target="ema"), "consistency_target is now {class_path: StudentTarget | Te"),
    ({"model": entry("PretrainShowo", sampling={"steps": 4})}, "sampling.steps is now sampling_s"),
    (data(captions=FILES), CAPTIONS),
    (data("PretrainDataModule", captions=FILES), CAPTIONS),
    (data("ImageDataModule", val_captions=FILES), f"val_{CAPTIONS}"),
    (data(instructions=FILES), "instructions is now {class_path: InstructionFiles, init_args"),
    (data(val_instructions=FILES), "val_instructions is now {class_path: InstructionFiles"),
    (data(web_text={"files": []}), "web_text is now {class_path: TextFiles, init_args"),
    (speedup(steps=[4]), "settings.steps is now sampling_steps; rename it"),
    (speedup(stage_steps=[4]), "settings.stage_steps is now stage_sampling_steps; rename it"),
    (speedup(block_size=4), "settings.block_size is now block_size of the settings' decoding"),
    (speedup(max_new_tokens=4), "settings.max_new_tokens is now max_new_tokens of the settings'"),
    (speedup(sampling={"steps": 4}), "settings.sampling.steps is now sampling_steps; rename it"),
    (speedup(teacher_samplings=[{"steps": 4}]), "settings.teacher_samplings[0].steps is now sam"),
    (speedup(sampling={"order_seed": 4}), "settings.sampling.order_seed is now shared_noise_seed"),
    (
        {"trainer": {"callbacks": [entry("SampleGrid", samplings=[{}, {"steps": 4}])]}},
        "samplings[1].steps is now sampling_steps; rename it",
    ),
]


@pytest.mark.parametrize(("config", "message"), OLD, ids=[message[:40] for _, message in OLD])
def test_an_old_key_in_a_file(config, message, tmp_path):
    with pytest.raises(UserError) as refused:
        check_config("a.yaml", config, "fit")
    assert str(refused.value).startswith(f"a.yaml: {message}")
    assert "\n" not in str(refused.value)
    path = tmp_path / "a.yaml"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(UserError) as read:
        check_config_files(["-c", str(path)], "fit")
    assert str(read.value) == str(refused.value).replace("a.yaml", str(path), 1)


GOOD = [
    stage(sampling={"sampling_steps": 4, "guidance_scale": 1.0, "shared_noise_seed": 9}),
    curriculum(topk_targets=1),
    evaluation(sampling_steps=[4], fit_sampling_steps=[2], batch_size=8, seed=1),
    turbo(consistency_target=entry("TeacherTarget"), decoding={"max_new_tokens": 8}),
    turbo(consistency_target="my_targets.Mine", sampling={"top_k": 4}),
    turbo(losses={"mine": entry("my_losses.Mine", weights=[1], steps=3)}),
    turbo(teacher_sampling={"mask_schedule": "pow", "confidence_temperature": 1.0}),
    data(captions=entry("CaptionFiles", **FILES), web_text={"class_path": "TextFiles"}),
    data(captions=None, shapes=entry("ShapesWorld", folder="data", images=3)),
    speedup(decoding={"max_new_tokens": 4, "block_size": 8}, seed=0),
    {"model": entry("my_model.Mine", weights=1, evaluation={"steps": 4}, max_new_tokens=1)},
    {"trainer": {"callbacks": [entry("my_callbacks.Mine", steps=1, order_seed=1, stages=[1])]}},
    {"trainer": {"max_steps": 3, "callbacks": None}, "seed_everything": 1},
]


@pytest.mark.parametrize("config", GOOD)
def test_keys_of_today_and_of_others_are_left_alone(config):
    check_config("a.yaml", config, "fit")


CALLBACK = ["--trainer.callbacks", "Curriculum"]
OPTIONS = [
    ("validate", ["--baseline", "shapes"], "--baseline is now teacher; rename it"),
    ("fit", ["--model.init_args.weights.language", "0"], "--model.init_args.weights.language is "),
    ("fit", ["--model.weights.language=0"], "--model.weights.language is now losses, a mapping"),
    ("fit", ["--model.consistency_target", "ema"], "--model.consistency_target is now {class_p"),
    ("fit", ["--model.evaluation.steps", "[4]"], "--model.evaluation.steps is now sampling_steps"),
    (
        "fit",
        [*CALLBACK, "--trainer.callbacks.max_new_tokens", "8"],
        "--trainer.callbacks.max_new_tokens is now max_new_tokens of the model's decoding",
    ),
    (
        "fit",
        ["--trainer.callbacks.Curriculum.init_args.stages.0.steps", "8"],
        "--trainer.callbacks.Curriculum.init_args.stages.0.steps is now sampling_steps within",
    ),
    (
        "fit",
        ["--trainer.callbacks+=Curriculum", "--trainer.callbacks.stages", "[{kept_codes: 3}]"],
        "--trainer.callbacks.stages[0].kept_codes is now topk_targets; rename it",
    ),
    ("generate", ["--steps", "4"], "--steps is now sampling_steps; rename it"),
    ("generate", ["--order_seed=4"], "--order_seed is now shared_noise_seed; rename it"),
    ("export", ["--sampling.steps", "4"], "--sampling.steps is now sampling_steps; rename it"),
    ("collect", ["--images.steps", "4"], "--images.steps is now images.sampling.sampling_steps"),
    ("collect", ["--images.kept_codes", "4"], "--images.kept_codes is now topk_targets; rename"),
    ("collect", ["--texts.block_size", "4"], "--texts.block_size is now texts.decoding.block_si"),
]


@pytest.mark.parametrize(("command", "arguments", "message"), OPTIONS)
def test_an_old_option(command, arguments, message):
    with pytest.raises(UserError) as refused:
        check_config_files(arguments, command)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("fit", ["--model", "my_model.Mine", "--model.weights", "3"]),
        ("fit", ["--trainer.callbacks", "my_callbacks.Mine", "--trainer.callbacks.block_size=3"]),
        ("fit", ["--trainer.max_steps", "3", "--trainer.callbacks.block_size", "3"]),
        ("fit", ["--model.consistency_target", "TeacherTarget"]),
        ("fit", ["--data.captions", "CaptionFiles", "--data.captions.images", "folder"]),
        ("generate", ["a red circle", "--sampling_steps", "4", "--shared_noise_seed", "1"]),
        ("generate", ["steps", "--output", "steps"]),
        ("answer", ["--max_new_tokens", "4", "--block_size", "8"]),
        ("collect", ["--captions.images", "folder", "--images.sampling.sampling_steps", "4"]),
    ],
)
def test_options_of_today_and_of_others_are_left_alone(command, arguments):
    check_config_files(arguments, command)


def test_whose_options_they_are_is_read_from_the_files(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("model: {class_path: my_model.Mine}\n")
    check_config_files(["-c", str(path), "--model.init_args.weights", "3"], "fit")


def test_a_file_of_a_command(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("steps: 4\n")
    with pytest.raises(UserError, match=r"a\.yaml: steps is now sampling_steps; rename it"):
        check_config_files(["--config", str(path)], "generate")
    check_config_files(["--config", str(path)], "answer")


STAGES = "trainer.callbacks.Curriculum.init_args.stages"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"parameters": {"model.init_args.weights.language": {"low": 0, "high": 1}}},
            "model.init_args.weights.language is now losses",
        ),
        (
            {"parameters": {"model.init_args.consistency_target": ["StudentTarget", "ema"]}},
            "model.init_args.consistency_target is now {class_path",
        ),
        ({"parameters": {f"{STAGES}.0.steps": [4]}}, f"{STAGES}.0.steps is now sampling_steps"),
        (
            {"overrides": {STAGES: [{"epochs": 1, "kept_codes": 2}]}},
            f"{STAGES}[0].kept_codes is now topk_targets; rename it",
        ),
        (
            {"variants": {"plain": {}, "hot": {f"{STAGES}.0.order_seed": 2}}},
            f"{STAGES}.0.order_seed is now shared_noise_seed within the stage's sampling",
        ),
        (
            {"overrides": {"trainer.callbacks.SpeedupReport.init_args.settings.steps": [8]}},
            "trainer.callbacks.SpeedupReport.init_args.settings.steps is now sampling_steps",
        ),
    ],
)
def test_an_old_key_of_a_sweep(content, message):
    with pytest.raises(UserError) as refused:
        check_sweep("sweep.yaml", content)
    assert str(refused.value).startswith(f"sweep.yaml: {message}")


def test_keys_of_today_in_a_sweep():
    check_sweep(
        "sweep.yaml",
        {
            "parameters": {
                f"{STAGES}.0.sampling.sampling_steps": [4],
                "model.init_args.losses.language.init_args.weight": {"low": 0, "high": 1},
            },
            "variants": {"plain": {}},
            "overrides": {"trainer.max_steps": 4},
        },
    )
