"""Configurations in YAML, and options that go over them."""

import pytest

from .bench import Case, table

pytestmark = pytest.mark.bad_input


def file(content, name="a.yaml", command="fit"):
    """A configuration of this content; None stands for no file."""

    def prepare(bench):
        if content is not None:
            bench.write(name, content)
        return [command, "-c" if command == "fit" else "--config", name]

    return prepare


def changed(**changes):
    """The good configuration with other values."""
    return lambda bench: ["fit", "-c", bench.configure(**changes)]


def options(*arguments):
    """The good configuration with options that go over it."""
    return lambda bench: ["fit", "-c", bench.configure(), *arguments]


def stage(**changes):
    return changed(
        **{f"trainer__callbacks__0__init_args__stages__0__{k}": changes[k] for k in changes}
    )


def curriculum(**changes):
    return changed(**{f"trainer__callbacks__0__init_args__{key}": changes[key] for key in changes})


def model(**changes):
    return changed(**{f"model__init_args__{key}": changes[key] for key in changes})


def data(**changes):
    return changed(**{f"data__init_args__{key}": changes[key] for key in changes})


def trainer(**changes):
    return changed(**{f"trainer__{key}": changes[key] for key in changes})


def without(*keys):
    def prepare(bench):
        config = bench.good.config()
        for key in keys:
            del config[key]
        return ["fit", "-c", bench.write("config.yaml", config)]  # JSON is YAML

    return prepare


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
HELP = "see showo-turbo fit --help"


def term(kind, **options):
    """A configuration whose only loss term is this one."""
    return model(losses={"mine": {"class_path": kind, "init_args": options}})


FILES = [
    Case("no name", lambda bench: ["fit", "-c"], "-c names no file", "a YAML file", "name one"),
    Case("no file", file(None), "a.yaml does not exist", "expected a YAML file", "name one"),
    Case("a folder", file(None, "."), ". is not a YAML file", "directory", "name another"),
    Case(
        "no YAML", file("model: ["), "a.yaml is not a YAML file", "expected the node", "correct it"
    ),
    Case(
        "tabs", file("model:\n\tclass_path: A"), "a.yaml is not a YAML file", r"'\t'", "correct it"
    ),
    Case("no UTF-8", file(b"\xff\xfe\x00"), "a.yaml is not a YAML file", "utf-8", "correct it"),
    Case("null byte", file(b"model: \x00"), "a.yaml is not a YAML file", "character", "correct it"),
    Case("no bytes", file(""), "a.yaml holds no options", "keys such as model", "correct it"),
    Case("a list", file("- model"), "a.yaml holds no options", "keys such as model", "correct it"),
    Case("a text", file("model"), "a.yaml holds no options", "keys such as model", "correct it"),
    Case("a tag", file("model: !!python/object/apply:os.getpid []"), "a.yaml", "tag", "correct it"),
    Case(
        "the same key twice",
        file("trainer: {max_steps: 1}\nmodel: {}\ntrainer: {}"),
        "the key 'trainer' comes twice",
        "line 3",
        "correct it",
    ),
    Case("nested", file("[" * 5000), "a.yaml is nested too deeply", "YAML options", "correct it"),
    Case("aliases", file(LAUGHS), "more than 100,000 values", "expected options", "aliases"),
    Case("a loop", file("model: &a [*a]"), "more than 100,000 values", "options", "aliases"),
    Case("too large", file("a: " + "b" * 2**20), "1,048,579 bytes", "at most 1,048,576", "another"),
    Case(
        "an overlay alone",
        file("model: {init_args: {student: shapes}}"),
        "a.yaml sets options of model, but no class_path",
        "it is an overlay",
        "name its base before it",
    ),
    Case(
        "of another command",
        file("prompts: [a]\noutptu: out", command="generate"),
        "outptu",
        "there is no option",
        "see showo-turbo generate --help",
    ),
    Case(
        "missing, of another command",
        file(None, command="collect"),
        "a.yaml does not exist",
        "expected a YAML file",
        "name one",
    ),
]

VALUES = [
    Case("unknown key", changed(modle={"a": 1}), "modle", "there is no option", HELP),
    Case("unknown key of trainer", trainer(max_stepz=3), "max_stepz", "there is no option", HELP),
    Case("unknown key of model", model(studnet="a"), "studnet", "there is no option", HELP),
    Case("unknown key of data", data(shapse={"a": 1}), "shapse", "there is no option", HELP),
    Case("unknown key of a stage", stage(step=4), "step", "no option", HELP),
    Case("unknown term", term("Mine"), "losses", "there is no class 'Mine'", HELP),
    Case("unknown key of a term", term("ImageRegularizer", wieght=1), "losses", "wieght", HELP),
    Case(
        "a term of another kind",
        term("fractions.Fraction"),
        "fractions.Fraction has no method compute and is not a LossTerm",
        "derive it from LossTerm",
        HELP,
    ),
    Case(
        "a target of another kind",
        model(consistency_target={"class_path": "fractions.Fraction"}),
        "fractions.Fraction has no method network and is not a ConsistencyTarget",
        "derive it from ConsistencyTarget",
        HELP,
    ),
    Case("no model", without("model"), "fit.model", "are required", HELP),
    Case("no data", without("data"), "fit.data", "are required", HELP),
    Case("unknown class", changed(model__class_path="Turbo"), "Turbo", "there is no class", HELP),
    Case("class of nothing", changed(model__class_path="no.where.A"), "A: No module", "'no'", HELP),
    Case(
        "no model at all",
        changed(model__class_path="calendar.Calendar"),
        "calendar",
        "is not a LightningModule",
        HELP,
    ),
    Case("model as a number", changed(model=3), "model", "3", HELP),
    Case("unknown callback", trainer(callbacks=["Curiculum"]), "Curiculum", "no class", HELP),
    Case("steps as text", trainer(max_steps="few"), "max_steps", "few is not of type int", HELP),
    Case(
        "weight as text",
        term("ImageRegularizer", weight="a"),
        "losses",
        "a is not of type float",
        HELP,
    ),
    Case("truth as text", model(gradient_checkpointing="maybe"), "maybe", "bool", HELP),
    Case(
        "resolution as text", data(resolution="16px"), "16px is not of type int", "resolution", HELP
    ),
    Case("no resolution", data(resolution=None), "resolution", "are required", HELP),
    Case("target", model(consistency_target="Ema"), "consistency_target", "no class 'Ema'", HELP),
    Case(
        "schedule",
        model(teacher_sampling={"mask_schedule": "step"}),
        "step is not one of",
        "'cosine'",
        HELP,
    ),
    Case("stages null", curriculum(stages=None), "stages", "are required", HELP),
    Case("stages as mapping", curriculum(stages={"epochs": 1}), "stages", "list", HELP),
    Case("no epochs", stage(epochs=0), "epochs is 0", "at least 1", "correct the stage"),
    Case("segments", stage(image_segments=3), "3 segments", "do not divide 4 steps", "choose"),
    Case(
        "K above the image",
        stage(sampling={"sampling_steps": 17}, image_segments=17),
        "steps is 17",
        "image tokens",
        "1 to 16",
    ),
    Case(
        "more than there are",
        stage(image_trajectories=9),
        "9 trajectories",
        "4 captions",
        "ask for",
    ),
    Case("no shard", curriculum(shard_size=0), "shard_size is 0", "at least 1", "expected"),
    Case("no captions", data(captions=None), "captions is missing", "name its files", "or give"),
    Case(
        "half a patch",
        data(resolution=18),
        "resolution 18",
        "16 x 16 pixels",
        "set resolution to 16",
    ),
    Case(
        "another size", data(resolution=32), "resolution 32", "16 image tokens", "set resolution to"
    ),
    Case("stream of ours", term("TextRegularizer", stream="image"), "losses", "'stream'", HELP),
    Case("no student", model(student="nowhere"), "'nowhere' is not a folder", "hub id", "correct"),
    Case(
        "tokenizer",
        model(text_tokenizer="nowhere"),
        "'nowhere' is not a folder",
        "hub id",
        "correct",
    ),
    Case(
        "codebook",
        model(image_tokenizer="shapes"),
        "has 512 codes, the model 64",
        "trained",
        "name",
    ),
    Case("optimizer", model(optimizer={"class_path": "Adam9"}), "Adam9", "no class", HELP),
    Case(
        "optimizer option",
        model(optimizer={"class_path": "torch.optim.AdamW", "init_args": {"lrr": 1}}),
        "lrr",
        "there is no option",
        HELP,
    ),
    Case("accelerator", trainer(accelerator="abacus"), "abacus", "invalid", "Available names are"),
    Case("precision", trainer(precision="7"), "precision", "7", HELP),
    Case("strategy", trainer(strategy="all"), "strategy='all'", "trainer:", "valid"),
    Case("devices", trainer(devices=0), "devices", "0", "trainer:"),
    Case("devices as text", trainer(devices="abc"), "'abc'", "an int > 0", "correct it"),
    Case("clip", trainer(gradient_clip_val="a"), "gradient_clip_val", "a", HELP),
    Case("clip below 0", trainer(gradient_clip_val=-1), "val is -1", "0 or more", "null not to"),
    Case("seed below 0", changed(seed_everything=-5), "-5", "0 to 4294967295", "choose another"),
    Case(
        "no Curriculum", trainer(callbacks=[]), "no data for image", "expected data", "batch size 0"
    ),
    Case("option", options("--model.init_args.studnet", "a"), "studnet", "no option", HELP),
    Case("option of trainer", options("--trainer.max_stepz=3"), "max_stepz", "unrecognized", HELP),
    Case("short option", options("--trainer.max_epoch=3"), "max_epoch", "unrecognized", HELP),
    Case(
        "option type", options("--data.init_args.seed", "x"), "seed", "x is not of type int", HELP
    ),
    Case("resume", options("--resume", "always"), "always", "'auto'", HELP),
]


@table(FILES)
def test_a_file_is_refused(case, bench):
    case.check(bench)


@table(VALUES)
def test_a_value_is_refused(case, bench):
    case.check(bench)


def test_a_good_configuration_is_not(bench):
    ended = bench.run("fit", "-c", bench.configure())
    assert ended.status == 0, ended.errors
