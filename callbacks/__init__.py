"""Lightning callbacks, installed as showo_turbo.callbacks."""

from .curriculum import Curriculum
from .evaluation_table import EvaluationTable
from .export_student import ExportStudent
from .finite_guard import FiniteGuard
from .prediction_writer import PredictionWriter
from .reconstruction_grid import ReconstructionGrid
from .sample_grid import SampleGrid
from .speedup_report import SpeedupReport
from .stage_progress_bar import StageProgressBar
from .step_checkpoint import StepCheckpoint
from .sweep_metric import SweepMetric
from .throughput import Throughput

__all__ = [
    "Curriculum",
    "EvaluationTable",
    "ExportStudent",
    "FiniteGuard",
    "PredictionWriter",
    "ReconstructionGrid",
    "SampleGrid",
    "SpeedupReport",
    "StageProgressBar",
    "StepCheckpoint",
    "SweepMetric",
    "Throughput",
]
