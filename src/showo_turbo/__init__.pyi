from .callbacks import Curriculum
from .curriculum import Stage
from .data import DistillationDataModule, PretrainDataModule
from .inference import ShowoPipeline
from .models.magvitv2 import MAGVITv2, MAGVITv2Config
from .models.showo import Showo, ShowoConfig
from .sampling.editing import ImageEditing
from .sampling.image_sampling import ImageSampling, SamplingChanges
from .sampling.text_decoding import DecodingChanges, TextDecoding
from .text_tokenizer import TextTokenizer
from .training import PretrainMAGVITv2, PretrainMMaDA, PretrainShowo, ShowoTurbo
from .version import __version__

__all__ = [
    "Curriculum",
    "DecodingChanges",
    "DistillationDataModule",
    "ImageEditing",
    "ImageSampling",
    "MAGVITv2",
    "MAGVITv2Config",
    "PretrainDataModule",
    "PretrainMAGVITv2",
    "PretrainMMaDA",
    "PretrainShowo",
    "SamplingChanges",
    "Showo",
    "ShowoConfig",
    "ShowoPipeline",
    "ShowoTurbo",
    "Stage",
    "TextDecoding",
    "TextTokenizer",
    "__version__",
]
