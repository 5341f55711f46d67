"""A distillation of seconds, as a configuration."""


def small_experiment(model, world):
    """The configuration.

    Args:
        model: Folder of a tiny model of the shapes world.
        world: Folder of a small shapes world.
    """
    stage = {
        "epochs": 3,
        "image_segments": 1,
        "image_trajectories": 8,
    }
    return {
        "seed_everything": 0,
        "model": {
            "class_path": "ShowoTurbo",
            "init_args": {
                "student": str(model),
                "text_tokenizer": str(model),
                "max_language_length": 16,
                "sampling": {"sampling_steps": 1},
                "teacher_sampling": {"sampling_steps": 2},
                "decoding": {"max_new_tokens": 4},
                "evaluation": {
                    "fit_sampling_steps": [1],
                    "checker": {"class_path": "ShapesChecker"},
                },
            },
        },
        "data": {
            "class_path": "DistillationDataModule",
            "init_args": {
                "resolution": 24,
                "shapes": {
                    "class_path": "ShapesWorld",
                    "init_args": {
                        "folder": str(world),
                        "images": 48,
                        "documents": 16,
                        "validation_images": 8,
                    },
                },
                "batch_sizes": {"image": 4, "text": 0, "language": 2},
                "prompts_per_category": 1,
                "val_batch_size": 8,
            },
        },
        "trainer": {
            "accelerator": "cpu",
            "default_root_dir": "runs/base",
            "num_sanity_val_steps": 0,
            "check_val_every_n_epoch": 1000,
            "enable_progress_bar": False,
            "callbacks": [
                {"class_path": "Curriculum", "init_args": {"stages": [stage]}},
                {
                    "class_path": "ModelCheckpoint",
                    "init_args": {
                        "dirpath": "runs/base/checkpoints",
                        "save_last": True,
                        "save_on_train_epoch_end": True,
                    },
                },
            ],
        },
    }
