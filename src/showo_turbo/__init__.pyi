from .callbacks import Curriculum
from .curriculum import Stage
from .data import DistillationDataModule, PretrainDataModule
from .models.magvitv2 import MAGVITv2, MAGVITv2Config
from .models.showo import Showo, ShowoConfig
from .pipeline import ShowoPipeline
from .text_tokenizer import TextTokenizer
from .training import PretrainMAGVITv2, PretrainShowo, ShowoTurbo
from .version import __version__

__all__ = [
    "Curriculum",
    "DistillationDataModule",
    "MAGVITv2",
    "MAGVITv2Config",
    "PretrainDataModule",
    "PretrainMAGVITv2",
    "PretrainShowo",
    "Showo",
    "ShowoConfig",
    "ShowoPipeline",
    "ShowoTurbo",
    "Stage",
    "TextTokenizer",
    "__version__",
]
