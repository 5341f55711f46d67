"""The teacher's sampling trajectories: recording, storing, and cutting into segments."""

from ..utils.hashing import fingerprint_module, fingerprint_tensors
from .batch import (
    DenoisedTextBatch,
    ImageBatch,
    TextBatch,
    collate_denoised_texts,
    collate_image_trajectories,
    collate_text_trajectories,
)
from .best_of import BestOf
from .checker import Checker
from .collection import Processes
from .collector import TrajectoryCollector
from .coupling import Coupled
from .dataset import (
    DenoisedTextDataset,
    ImageTrajectoryDataset,
    TextTrajectoryDataset,
    open_texts,
)
from .describe import describe_store
from .draws import SamplerDraws, StateDraws, UniformDraws
from .image_collector import ImageCollection, ImagePrompt, collect_images, image_identity
from .inpainted import Inpainted
from .manifest import StoreIdentity
from .model_identity import ModelIdentity
from .on_policy import OnPolicy
from .partly_known import PartlyKnown
from .prompt_dropout import PromptDropout
from .record import DenoisedText, ImageTrajectory, MaskedTrajectory, TextTrajectory
from .segments import (
    check_segments,
    draw_step,
    iteration_segment,
    segment_end,
    segment_ends,
    segment_index,
    target_state,
)
from .source import Collecting, ImageSource
from .sources import FirstAccepted, Mixed, Sampled
from .store import TrajectoryStore
from .stored import StoredTrajectories
from .text_collector import TextCollection, TextRequest, collect_texts, text_identity
from .text_draws import GrowingNoise, IterateDraws, UniformIterates

__all__ = [
    "BestOf",
    "Checker",
    "Collecting",
    "Coupled",
    "DenoisedText",
    "DenoisedTextBatch",
    "DenoisedTextDataset",
    "FirstAccepted",
    "GrowingNoise",
    "ImageBatch",
    "ImageCollection",
    "ImagePrompt",
    "ImageSource",
    "ImageTrajectory",
    "ImageTrajectoryDataset",
    "Inpainted",
    "IterateDraws",
    "MaskedTrajectory",
    "Mixed",
    "ModelIdentity",
    "OnPolicy",
    "PartlyKnown",
    "Processes",
    "PromptDropout",
    "Sampled",
    "SamplerDraws",
    "StateDraws",
    "StoreIdentity",
    "StoredTrajectories",
    "TextBatch",
    "TextCollection",
    "TextRequest",
    "TextTrajectory",
    "TextTrajectoryDataset",
    "TrajectoryCollector",
    "TrajectoryStore",
    "UniformDraws",
    "UniformIterates",
    "check_segments",
    "collate_denoised_texts",
    "collate_image_trajectories",
    "collate_text_trajectories",
    "collect_images",
    "collect_texts",
    "describe_store",
    "draw_step",
    "fingerprint_module",
    "fingerprint_tensors",
    "image_identity",
    "iteration_segment",
    "open_texts",
    "segment_end",
    "segment_ends",
    "segment_index",
    "target_state",
    "text_identity",
]
