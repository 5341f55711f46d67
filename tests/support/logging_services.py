"""Stand-ins for what Lightning's loggers call of Weights & Biases and of MLflow."""

import sys
from types import ModuleType, SimpleNamespace

from lightning.pytorch.loggers import mlflow as mlflow_logger
from lightning.pytorch.loggers import wandb as wandb_logger


def module(name, **content):
    made = ModuleType(name)
    vars(made).update(content)
    return made


class WandbRun:
    """What `wandb.init` gives; keeps what it is given."""

    name = id = "stand-in"

    def __init__(self):
        self.values, self.logged = {}, []
        self.config = SimpleNamespace(update=lambda values, **_: self.values.update(values))

    def define_metric(self, *_, **__):
        pass

    def log(self, values):
        self.logged.append(values)

    def column(self, name):
        """Pairs of step and value."""
        return [(row["trainer/global_step"], row[name]) for row in self.logged if name in row]


def put_wandb(monkeypatch):
    """Install the stand-in; gives its one run."""
    run = WandbRun()
    modules = {
        "wandb": module("wandb", run=None, init=lambda **_: run, Image=lambda image: image),
        "wandb.sdk": module("wandb.sdk"),
        "wandb.sdk.lib": module("wandb.sdk.lib", RunDisabled=type("RunDisabled", (), {})),
        "wandb.wandb_run": module("wandb.wandb_run", Run=WandbRun),
    }
    for name, made in modules.items():
        monkeypatch.setitem(sys.modules, name, made)
    monkeypatch.setattr(wandb_logger, "_WANDB_AVAILABLE", True)
    return run


class MlflowClient:
    """Keeps what it is given, of its one run."""

    def __init__(self, uri):
        self.uri, self.values, self.metrics, self.pictures = uri, {}, [], {}

    def get_experiment_by_name(self, name):
        return None

    def create_experiment(self, **_):
        return "1"

    def create_run(self, **_):
        return self.get_run("run")

    def get_run(self, run_id):
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id, experiment_id="1"))

    def set_terminated(self, run_id, status):
        self.status = status

    def log_batch(self, run_id, metrics=(), params=()):
        assert run_id == "run" and len(params) <= 100
        self.metrics += metrics
        self.values |= {entry.key: entry.value for entry in params}

    def log_image(self, run_id, image, artifact_file=None, key=None, step=None):
        assert run_id == "run"
        self.pictures[key] = (step, image)

    def column(self, name):
        """Pairs of step and value."""
        return [(entry.step, entry.value) for entry in self.metrics if entry.key == name]


def put_mlflow(monkeypatch):
    """Install the stand-in; gives the list of its clients."""
    clients = []

    def client(uri):
        clients.append(MlflowClient(uri))
        return clients[-1]

    context = module("mlflow.tracking.context")
    tracking = module("mlflow.tracking", MlflowClient=client, context=context)
    entities = module("mlflow.entities", Param=SimpleNamespace, Metric=SimpleNamespace)
    top = module("mlflow", set_tracking_uri=lambda _: None, tracking=tracking, entities=entities)
    for made in (top, tracking, context, entities):
        monkeypatch.setitem(sys.modules, made.__name__, made)
    monkeypatch.setattr(mlflow_logger, "_MLFLOW_AVAILABLE", True)
    return clients
