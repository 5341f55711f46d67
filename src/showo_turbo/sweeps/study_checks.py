"""Whether a sweep file goes with the study that it was given before."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .sampler import is_counted, make_sampler
from .space import SearchSpace

if TYPE_CHECKING:
    from optuna import Study

SPACE = "space"


def check_space(study: "Study", space: SearchSpace, folder: Path) -> None:
    """Note the space in a new study; otherwise put the space in the study's order.

    As long as no trial has logged the metric, the metric may be corrected.

    Args:
        study: The study.
        space: What is varied.
        folder: The sweep's folder.

    Raises:
        UserError: If the study was begun with another space, or the folder has another's trials.
    """
    found = study.user_attrs.get(SPACE)
    if found is None:
        if old := next(folder.glob("trial-*"), None):
            raise UserError(
                f"{old} is of another study than the new {study.study_name!r}; name another "
                "folder, or restore its storage"
            )
        study.set_user_attr(SPACE, space.describe())
        return
    changed = space.changed_since(found)
    if changed == ["metric"] and not is_judged(study):
        study.set_user_attr(SPACE, found | {"metric": space.settings.metric})
    elif changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UserError(
            f"the study {study.study_name!r} was begun with another {', '.join(changed[:3])}"
            f"{more}; go back to that, or give the study another name"
        )
    space.follow(found)


def check_grid(study: "Study", space: SearchSpace) -> None:
    """Compare a grid's numbers with what the trials that have them were given.

    Args:
        study: The study.
        space: What is varied, in the study's order.

    Raises:
        UserError: If another seed has numbered the grid, so that points would be left out.
    """
    if space.settings.sampler != "grid":
        return
    sampler = make_sampler(space)
    for trial in study.get_trials(deepcopy=False):
        if "grid_id" not in trial.system_attrs or not is_counted(trial, space):
            continue
        for key, value in trial.params.items():
            if sampler.sample_independent(study, trial, key, trial.distributions[key]) != value:
                raise UserError(
                    f"the study {study.study_name!r} was begun with another seed than "
                    f"{space.settings.seed}, and a grid's order depends on it; go back to that, or "
                    "give the study another name"
                )


def is_judged(study: "Study") -> bool:
    """Whether any trial has logged the metric."""
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    return any(trial.intermediate_values or trial.state == TrialState.COMPLETE for trial in trials)
