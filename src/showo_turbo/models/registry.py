"""Which class a model folder is of, by the architecture that its `config.json` names."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import UserError, shown
from .checkpoints import read_config, resolve_folder
from .masked_text import MaskedTextModel
from .protocols import ImageModel, TextModel

OURS = {
    "Showo": "showo_turbo.models.showo.Showo",
    "MMaDA": "showo_turbo.models.mmada.MMaDA",
}
"""The families of this package: the name in `config.json`, and the class."""

_OTHER_NAMES = {"Student_Showo": "Showo", "mmada": "MMaDA"}
"""What released files call a family besides: the code of Show-o Turbo saves its students so, and
files of transformers have a model type."""

ARCHITECTURE_KEY, MODEL_TYPE_KEY = "_class_name", "model_type"

Family = str | type[ImageModel]
"""A family's class, or its import path, such as `my_module.MyModel`."""


def load_model(model: str | Path, family: Family | None = None) -> ImageModel:
    """Load a model of any family.

    Args:
        model: `shapes`, a local folder or a hub id.
        family: The class of a family of one's own; by default the one that `config.json` names.

    Raises:
        UserError: If there is no such model or family, or they do not fit together.
    """
    if family is not None:
        import_family(family)  # before anything is downloaded
    folder = resolve_folder(model, "showo")
    return find_family(read_config(folder), family, folder / "config.json").from_pretrained(folder)


def load_config(model: str | Path, family: Family | None = None) -> Any:
    """Read a model's configuration, a `ModelConfig`, without its weights; see `load_model`."""
    return family_and_config(model, family)[1]


def family_and_config(
    model: str | Path, family: Family | None = None
) -> tuple[type[ImageModel], Any]:
    """A model's class and its configuration, without its weights; see `load_model`."""
    if family is not None:
        import_family(family)  # before anything is downloaded
    folder = resolve_folder(model, "showo", patterns=("config.json",))
    found = find_family(read_config(folder), family, folder / "config.json")
    return found, found.read_config(folder)


def find_family(
    values: Mapping[str, Any], family: Family | None, where: str | Path
) -> type[ImageModel]:
    """The class of a configuration.

    A family that a file names is never imported because of that: a file is data, which does not
    choose the code that runs.

    Args:
        values: A parsed `config.json`. One that names no architecture, and no model type of
            transformers, is Show-o's.
        family: The class of a family of one's own.
        where: Where the values are from, for the message.

    Raises:
        UserError: If the architecture is unknown, or another than the family's.
    """
    name = values.get(ARCHITECTURE_KEY)
    if family is None and name is None:
        name = values.get(MODEL_TYPE_KEY)
    if isinstance(name, str):
        name = _OTHER_NAMES.get(name, name)
    if family is None:
        name = "Showo" if name is None else name
        if not isinstance(name, str) or name not in OURS:
            raise UserError(
                f"{where} is of the architecture {shown(name)}; expected {', '.join(OURS)}, or its "
                f"class by its import path, such as --family my_module.MyModel"
            )
        return import_family(OURS[name])
    found = import_family(family)
    if name is not None and name not in [kind.__name__ for kind in found.__mro__]:
        raise UserError(
            f"{where} is of the architecture {shown(name)}, but the family is {found.__name__}; "
            "name the class that wrote it, or leave the family out"
        )
    return found


def import_family(family: Family) -> type[ImageModel]:
    """Import a family's class by its path, and look whether it is complete.

    Raises:
        UserError: If it cannot be imported, is not a class, or lacks something, see `check_family`.
    """
    if isinstance(family, type):
        check_family(family)
        return family
    module, _, name = family.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        raise UserError(
            f"the family {shown(family)} cannot be imported ({error}); expected a class by its "
            "import path, such as my_module.MyModel"
        ) from None
    if not isinstance(found, type):
        raise UserError(f"the family {shown(family)} is not a class; name a class of ImageModel")
    check_family(found)
    return found


def check_family(family: type) -> None:
    """Raise if a class does not offer what a model family must.

    Raises:
        UserError: Naming the methods and attributes that it lacks.
    """
    kinds = (MaskedTextModel, TextModel)
    kind = next((kind for kind in kinds if issubclass(family, kind)), ImageModel)
    wanted = {"config_class", *kind.__abstractmethods__, *ImageModel.__abstractmethods__}
    abstract: frozenset[str] = getattr(family, "__abstractmethods__", frozenset())
    missing = sorted(name for name in wanted if not _offers(family, name) or name in abstract)
    if not missing and issubclass(family, ImageModel):
        missing = [
            f"config_class.{name}"
            for name in ("from_dict", "to_dict")
            if not callable(getattr(family.config_class, name, None))
        ]
    if missing or not issubclass(family, ImageModel):
        lacking = f" and lacks {', '.join(missing)}" if missing else ""
        raise UserError(
            f"the family {family.__name__} is not a complete ImageModel{lacking}; derive it from "
            "showo_turbo.models.protocols.ImageModel, and give it what is missing"
        )


def _offers(family: type, name: str) -> bool:
    """Whether a class has something, a method where the protocol has one."""
    wanted = getattr(MaskedTextModel, name, None) or getattr(TextModel, name, None)
    offered = getattr(family, name, None)
    return offered is not None and (callable(offered) or not callable(wanted))


def text_model(model: object, wanted_by: str) -> TextModel:
    """A model as one that writes text.

    Args:
        model: Of any family.
        wanted_by: What needs the text, for the message.

    Raises:
        UserError: If its family does not write text.
    """
    if isinstance(model, TextModel):
        return model
    raise UserError(
        f"{wanted_by} needs a model that writes text, but {type(model).__name__} does not write "
        "text; leave it out, or name another model"
    )


def masked_text_model(model: object, wanted_by: str) -> MaskedTextModel:
    """A model as one whose text is denoised.

    Args:
        model: Of any family.
        wanted_by: What needs it, for the message.

    Raises:
        UserError: If its family writes no text, or from left to right.
    """
    writer = text_model(model, wanted_by)
    if isinstance(writer, MaskedTextModel):
        return writer
    raise UserError(
        f"{wanted_by} needs a model whose text is denoised, but {type(model).__name__} writes from "
        "left to right; choose method 'jacobi' or 'autoregressive'"
    )
