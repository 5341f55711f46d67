"""Measuring models: image scores by steps and guidance, speed of text, and the whole report."""

from ..shapes.metric import satisfies_shapes_prompt
from .cache import ScoreCache
from .figures import by_split, evaluation_figures, image_figures, text_figures
from .image_scores import ImageScore
from .images import (
    choose_sampling,
    draw_images,
    evaluate_images,
    guidance_samplings,
)
from .intervals import Difference, paired_difference, stratified_interval, wilson_interval
from .report import Report, write_scores_csv
from .report_tables import report_figures, report_markdown, target_figures
from .speedup import measure_speedup
from .speedup_settings import EvaluationData, SpeedupSettings
from .tables import make_console, to_markdown, to_rich
from .text import TextRecord, encode_records, evaluate_text
from .text_scores import TextScore, agreement, exact_match_difference

__all__ = [
    "Difference",
    "EvaluationData",
    "ImageScore",
    "Report",
    "ScoreCache",
    "SpeedupSettings",
    "TextRecord",
    "TextScore",
    "agreement",
    "by_split",
    "choose_sampling",
    "draw_images",
    "encode_records",
    "evaluate_images",
    "evaluate_text",
    "evaluation_figures",
    "exact_match_difference",
    "guidance_samplings",
    "image_figures",
    "make_console",
    "measure_speedup",
    "paired_difference",
    "report_figures",
    "report_markdown",
    "satisfies_shapes_prompt",
    "stratified_interval",
    "target_figures",
    "text_figures",
    "to_markdown",
    "to_rich",
    "wilson_interval",
    "write_scores_csv",
]
