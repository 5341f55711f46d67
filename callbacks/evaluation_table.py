"""The figures of a validation as a table, and as files."""

from pathlib import Path
from typing import Literal

from lightning.pytorch import Callback, LightningModule, Trainer

from showo_turbo.errors import UserError
from showo_turbo.evaluation import Report, by_split, make_console, report_figures, to_rich
from showo_turbo.viz.pictures import of_quality, quality_figure, to_array

from .sample_grid import log_picture


class EvaluationTable(Callback):
    """Prints what `validate` or `test` measured, and writes it as JSON and CSV.

    For images: the score by sampling steps, with and without guidance, or by top-k. For text: exact
    match, CIDEr-D, tokens per forward pass, iterations per block and tokens per second. The module
    measures (see the `evaluation` argument of `ShowoTurbo`) and keeps the scores in its
    `evaluation_report`, a `Report`. Loggers that take images get a diagram of the scores by
    steps.

    Files: `<folder>/validate.json`, `<folder>/validate.csv`, or `test` instead of `validate`.

    Example:
        YAML::

            trainer:
              callbacks:
                - class_path: EvaluationTable

    Args:
        folder: Where the files go; `<trainer.default_root_dir>/evaluation` by default.
        during_fit: Print the tables of the validations within `fit` too; files are not written
            then.
    """

    def __init__(self, folder: Path | None = None, during_fit: bool = False) -> None:
        super().__init__()
        self.folder = folder
        self.during_fit = during_fit

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that the module measures something.

        Raises:
            UserError: If it does not.
        """
        if not isinstance(getattr(pl_module, "evaluation_report", None), Report):
            raise UserError(
                f"EvaluationTable shows the evaluation_report of a module, but "
                f"{type(pl_module).__name__} has none; use it with ShowoTurbo, or leave it out"
            )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the validation's scores."""
        if trainer.state.fn == "validate":
            self._show(trainer, pl_module, "validate")
        elif self.during_fit and not trainer.sanity_checking:
            self._show(trainer, pl_module, None)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the test's scores."""
        self._show(trainer, pl_module, "test")

    def _show(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        name: Literal["validate", "test"] | None,
    ) -> None:
        if not trainer.is_global_zero:
            return
        report = pl_module.evaluation_report
        assert isinstance(report, Report)
        for of_split in by_split(report.images) if name else ():
            if quality := of_quality(of_split):
                image = to_array(quality_figure(*quality))
                for logger in trainer.loggers:
                    log_picture(logger, f"{name}/{of_split[0].split}", image, trainer.global_step)
        console = make_console()
        console.print(to_rich(report_figures(report)))
        if name is None:
            return
        folder = self.folder or Path(trainer.default_root_dir) / "evaluation"
        report.write(folder, name)
        console.print(f"written to {folder}/{name}.json and {name}.csv")
