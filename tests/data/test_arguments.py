"""The DataModules as the command line sees them."""

from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from showo_turbo.data import (
    DistillationDataModule,
    ImageDataModule,
    PretrainDataModule,
    PromptFiles,
    StreamsDataModule,
    TextFiles,
)


@pytest.mark.parametrize("kind", [DistillationDataModule, ImageDataModule, PretrainDataModule])
def test_every_argument_is_explained(kind: type) -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(kind, "data")
    for action in parser._actions:
        # Those of a nested group (`--data.loader CONFIG`) are explained by the group.
        if action.dest.startswith("data.") and "ConfigLoad" not in type(action).__name__:
            assert action.help, action.dest
    help_text = parser.format_help()
    assert "--data.loader.num_workers" in help_text
    assert "0 loads in the main process" in help_text


@pytest.mark.filterwarnings("ignore:.*instantiate_classes.*")
def test_a_saved_configuration_is_read_back(tmp_path: Path) -> None:
    parser = ArgumentParser()
    parser.add_subclass_arguments(StreamsDataModule, "data")
    (tmp_path / "data.yaml").write_text(
        """
        class_path: DistillationDataModule
        init_args:
          resolution: 24
          shapes: {class_path: showo_turbo.shapes.ShapesWorld, init_args: {folder: world}}
          web_text: {class_path: TextFiles, init_args: {files: [a.parquet, b]}}
          prompts: {validation: v.jsonl, test: [t.jsonl, u.jsonl]}
          batch_sizes: {text: 0}
        """
    )
    config = parser.parse_args([f"--data={tmp_path / 'data.yaml'}", "--data.batch_sizes.image=5"])
    saved = parser.parse_string(parser.dump(config))

    for parsed in (config, saved):
        data = parser.instantiate_classes(parsed).data
        assert data.batch_sizes == {"image": 5, "language": 4}
        assert data.web_text == TextFiles([Path("a.parquet"), Path("b")])
        assert data.prompts == PromptFiles(Path("v.jsonl"), [Path("t.jsonl"), Path("u.jsonl")])
        assert data.captions.images == Path("world/train2017")
