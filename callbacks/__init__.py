"""Lightning callbacks, installed as showo_turbo.callbacks."""

from .collapse_alarm import CollapseAlarm
from .curriculum import Curriculum
from .evaluation_table import EvaluationTable
from .export_student import ExportStudent
from .finite_guard import FiniteGuard
from .prediction_writer import PredictionWriter
from .push_to_hub import PushToHub
from .reconstruction_grid import ReconstructionGrid
from .sample_grid import SampleGrid
from .speedup_report import SpeedupReport
from .stage_progress_bar import StageProgressBar
from .step_checkpoint import StepCheckpoint
from .sweep_metric import SweepMetric
from .throughput import Throughput

__all__ = [
    "CollapseAlarm",
    "Curriculum",
    "EvaluationTable",
    "ExportStudent",
    "FiniteGuard",
    "PredictionWriter",
    "PushToHub",
    "ReconstructionGrid",
    "SampleGrid",
    "SpeedupReport",
    "StageProgressBar",
    "StepCheckpoint",
    "SweepMetric",
    "Throughput",
]
