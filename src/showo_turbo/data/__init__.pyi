from .coco import COCOCaptions
from .datamodule import StreamsDataModule
from .distillation import DistillationBatchSizes, DistillationDataModule
from .images import load_image
from .llava import LLaVAInstructions
from .loader import LoaderOptions, ResumableLoader
from .pretraining import ImageDataModule, PretrainBatchSizes, PretrainDataModule
from .prompts import PromptFile
from .questions import QuestionFiles
from .sampler import JoinedBatchSampler
from .sources import CaptionFiles, InstructionFiles, PromptFiles, ShapesWorld, TextFiles
from .streams import JoinedDataset, SampleKey, SingleStream, Stream, StreamDataset
from .web_text import WebText

__all__ = [
    "COCOCaptions",
    "CaptionFiles",
    "DistillationBatchSizes",
    "DistillationDataModule",
    "ImageDataModule",
    "InstructionFiles",
    "JoinedBatchSampler",
    "JoinedDataset",
    "LLaVAInstructions",
    "LoaderOptions",
    "PretrainBatchSizes",
    "PretrainDataModule",
    "PromptFile",
    "PromptFiles",
    "QuestionFiles",
    "ResumableLoader",
    "SampleKey",
    "ShapesWorld",
    "SingleStream",
    "Stream",
    "StreamDataset",
    "StreamsDataModule",
    "TextFiles",
    "WebText",
    "load_image",
]
