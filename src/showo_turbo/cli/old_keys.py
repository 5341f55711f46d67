"""What options of earlier versions are now: a hint behind the message that one is unknown."""

import re

_SAMPLING = "{} of the model's sampling"
_DECODING = "{} of the model's decoding"

_NOW = {
    "kept_codes": "topk_targets",
    "order_seed": "shared_noise_seed",
    "steps": "sampling_steps",
    "fit_steps": "fit_sampling_steps",
    "stage_steps": "stage_sampling_steps",
    "final_learning_rate": "the end of an lr_scheduler, such as torch.optim.lr_scheduler.LinearLR",
    "t2i": "image",
    "mmu": "text",
    "lm": "language",
    "t2i_weight": "image_weight",
    "mmu_weight": "text_weight",
    "lm_weight": "language_weight",
    "max_lm_length": "max_language_length",
    "weights": "losses, a mapping of names to loss terms",
    "mask_schedule": _SAMPLING,
    "token_temperature": _SAMPLING,
    "confidence_temperature": _SAMPLING,
    "top_k": _SAMPLING,
    "max_new_tokens": _DECODING,
    "block_size": _DECODING,
    "image_score": "the checker of the model's evaluation",
    "baseline": "teacher",
    "baseline_sampling": "teacher_samplings, a list",
    "student_guidance": "guidance_scales, with 0.0 for none",
}
"""The last part of an option's name -> its name or place now."""

_NOW_WITHIN = {
    "Stage": dict.fromkeys(
        ("guidance_scale", "confidence_temperature", "shared_noise_seed"),
        "{} within the stage's sampling",
    )
    | {
        "steps": "sampling_steps within the stage's sampling",
        "order_seed": "shared_noise_seed within the stage's sampling",
    },
    "PretrainShowo": {"metrics": "{} of the model's evaluation"},
    "PretrainMMaDA": {"metrics": "{} of the model's evaluation"},
    "Curriculum": {"mask_schedule": "{} of the model's teacher_sampling"},
    "answer": {"decoding": "method"},
    "collect": dict.fromkeys(
        ("guidance_scale", "mask_schedule", "confidence_temperature"), "images.sampling.{}"
    )
    | dict.fromkeys(("max_new_tokens", "block_size"), "texts.decoding.{}")
    | {
        "steps": "images.sampling.sampling_steps",
        "order_seed": "images.sampling.shared_noise_seed",
    },
}
"""The class, group or command that a message names -> such options of it."""

_CLASSES = {
    "student": "StudentTarget",
    "teacher": "TeacherTarget",
    "ema": "AverageTarget",
    "ShapesScore": "ShapesChecker, the checker of the model's evaluation",
    "ClipsScore": "ClipsChecker, the checker of the model's evaluation",
    "showo_turbo.data.ShapesWorld": "showo_turbo.shapes.ShapesWorld",
}
"""Names of classes -> their names or places now."""

_OPTION = re.compile(r"(?:(\w+): )?(?:there is no option '|unrecognized arguments: --)([\w.+]+)")
_CLASS = re.compile(r"there is no class '([\w.]+)'")


def hint(message: str, command: str = "") -> str:
    """What the first unknown option of a message was renamed to, as the end of the message.

    Args:
        message: One line, in which jsonargparse says that there is no such option or class.
        command: The command whose option it is.

    Returns:
        Such as `; kept_codes is now topk_targets`; empty if it never was an option.
    """
    if (found := _CLASS.search(message)) and found[1] in _CLASSES:
        return f"; {found[1]} is now {_CLASSES[found[1]]}"
    for owner, option in _OPTION.findall(message):
        for name in reversed(option.rstrip("+").split(".")):
            now = _NOW_WITHIN.get(owner or command, {}).get(name) or _NOW.get(name)
            if now and now != name:
                return f"; {name} is now {now.format(name)}"
    return ""
