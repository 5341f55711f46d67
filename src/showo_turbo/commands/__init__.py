"""The commands that stand beside Lightning's own: generate, answer, make-shapes, and others."""
