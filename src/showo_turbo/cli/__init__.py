"""The commands: Lightning's own, and those beside them, each in its module."""

LIGHTNING_COMMANDS = {
    "fit": "Train a model, by distillation or pretraining.",
    "validate": "Evaluate images by sampling steps, and answers by decoding method.",
    "test": "Evaluate a model on the test data.",
    "predict": "Generate images and answers for the test data, as files by PredictionWriter.",
}

COMMANDS = {
    "generate": "Generate images from prompts.",
    "generate-video": "Generate clips from prompts, optionally with a first frame.",
    "inpaint": "Regenerate the parts of images that a mask marks in white.",
    "extrapolate": "Extend images beyond their edges.",
    "edit": "Edit images by a prompt, without a mask.",
    "answer": "Answer questions about images.",
    "tell": "Generate stories of interleaved texts and images.",
    "demo": "Serve a web page that shows teacher and student side by side.",
    "split-pictures": "Split captioned images into training, validation and test sets.",
    "train-text-tokenizer": "Train a text tokenizer on captions, questions and texts.",
    "download": "Download a published dataset to the path that the configurations use.",
    "make-shapes": "Write the shapes world to a folder, in the formats of the real datasets.",
    "collect": "Collect a model's trajectories: images for captions, answers to questions.",
    "trajectories": "Inspect stored trajectories, and draw film strips of a few.",
    "plan": "Estimate the memory, time and disk space of a run before it starts.",
    "sweep": "Run a hyperparameter search: grid, random or TPE.",
    "report": "Write a self-contained HTML report of one or more runs.",
    "replay": "Rerun a batch that stopped a training, and find the first faulty module.",
    "inflate": "Convert an image tokenizer into a clip tokenizer.",
    "export": "Export the network of a training checkpoint as a model folder.",
    "push": "Publish a model on the hub, with a card generated from its run.",
}
"""The first line of each command's help, kept here so that listing the commands imports none."""
