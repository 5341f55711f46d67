"""Measuring models: one plan, one run, and a report of images and texts."""

from ..trajectories.checker import Checker
from ..utils.share import Share
from .abilities import ABILITIES, AbilityCase, AbilityChecker, change_images
from .ability_scores import AbilityScore, evaluate_ability
from .cache import ScoreCache
from .data import EvaluationData
from .figures import ability_figures, by_split, evaluation_figures, image_figures, text_figures
from .image_scores import ImageScore
from .images import choose_sampling, draw_images, evaluate_images
from .intervals import Difference, paired_difference, stratified_interval, wilson_interval
from .plan import EvaluationPlan
from .report import Report, write_scores_csv
from .report_tables import report_figures, report_markdown
from .runner import run
from .tables import make_console, to_markdown, to_rich
from .text import TextRecord, encode_records, evaluate_text
from .text_scores import TextScore, agreement, exact_match_difference
from .variety import Variety, measure_variety

__all__ = [
    "ABILITIES",
    "AbilityCase",
    "AbilityChecker",
    "AbilityScore",
    "Checker",
    "Difference",
    "EvaluationData",
    "EvaluationPlan",
    "ImageScore",
    "Report",
    "ScoreCache",
    "Share",
    "TextRecord",
    "TextScore",
    "Variety",
    "ability_figures",
    "agreement",
    "by_split",
    "change_images",
    "choose_sampling",
    "draw_images",
    "encode_records",
    "evaluate_ability",
    "evaluate_images",
    "evaluate_text",
    "evaluation_figures",
    "exact_match_difference",
    "image_figures",
    "make_console",
    "measure_variety",
    "paired_difference",
    "report_figures",
    "report_markdown",
    "run",
    "stratified_interval",
    "text_figures",
    "to_markdown",
    "to_rich",
    "wilson_interval",
    "write_scores_csv",
]
