"""The commands: Lightning's own, and those beside them, each in its module."""

LIGHTNING_COMMANDS = {
    "fit": "Train: distill a model, or pretrain one.",
    "validate": "Score a model by sampling steps, and its text decoding.",
    "test": "Score a model on the test data.",
    "predict": "Draw the test prompts, answer the questions: files by PredictionWriter.",
}

COMMANDS = {
    "generate": "Draw images of prompts into a folder.",
    "generate-video": "Draw clips of prompts, or set images in motion.",
    "inpaint": "Draw parts of images again, where masks are white.",
    "extrapolate": "Let images grow beyond their edges.",
    "edit": "Change what images show, without a mask.",
    "answer": "Answer questions about images.",
    "tell": "Tell stories of texts and images in turn.",
    "demo": "Serve a page on which teacher and student work side by side.",
    "split-pictures": "Split pictures with captions into training, validation and test.",
    "train-text-tokenizer": "Train a text tokenizer on captions, questions and texts.",
    "download": "Fetch a published data set to where the configurations look for it.",
    "make-shapes": "Write the shapes world to a folder, in the formats of the real data sets.",
    "collect": "Record a model's trajectories: images for captions, answers to questions.",
    "trajectories": "Show what stores of trajectories hold, and draw film strips of a few.",
    "plan": "Say how much memory, time and disk a run needs, before it is started.",
    "sweep": "Run an experiment many times with other settings: grid, random or TPE.",
    "report": "Write one self-contained HTML page about runs.",
    "replay": "Run a batch that stopped a training again, and show where it goes wrong.",
    "inflate": "Make a tokenizer of clips of an image tokenizer.",
    "export": "Write the network of a training checkpoint as a model folder.",
    "push": "Write a model to the hub, with a card made from its run.",
}
"""The first line of each command's help, here so that listing them imports none."""
