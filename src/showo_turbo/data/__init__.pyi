from .caption_questions import CaptionQuestions
from .class_folders import ClassFolders
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
from .shards import ImageTextShards
from .sources import CaptionSource, QuestionSource, TextSource
from .stories import StoryFiles, StorySource
from .streams import JoinedDataset, SampleKey, SingleStream, Stream, StreamDataset
from .web_text import WebText

__all__ = [
    "COCOCaptions",
    "CaptionFiles",
    "CaptionQuestions",
    "CaptionSource",
    "ClassFolders",
    "Corpus",
    "DistillationBatchSizes",
    "DistillationDataModule",
    "ImageDataModule",
    "ImageTextShards",
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
