from .coco import COCOCaptions
from .corpus import Corpus
from .datamodule import StreamsDataModule
from .distillation import DistillationBatchSizes, DistillationDataModule
from .files import CaptionFiles, InstructionFiles, PromptFiles, TextFiles
from .images import load_image
from .llava import LLaVAInstructions
from .loader import LoaderOptions, ResumableLoader
from .pretraining import ImageDataModule, PretrainBatchSizes, PretrainDataModule
from .prompts import PromptFile
from .questions import QuestionFiles
from .sampler import JoinedBatchSampler
from .sources import CaptionSource, QuestionSource, TextSource
from .stories import StoryFiles, StorySource
from .streams import JoinedDataset, SampleKey, SingleStream, Stream, StreamDataset
from .web_text import WebText

__all__ = [
    "COCOCaptions",
    "CaptionFiles",
    "CaptionSource",
    "Corpus",
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
    "QuestionSource",
    "ResumableLoader",
    "SampleKey",
    "SingleStream",
    "StoryFiles",
    "StorySource",
    "Stream",
    "StreamDataset",
    "StreamsDataModule",
    "TextFiles",
    "TextSource",
    "WebText",
    "load_image",
]
