"""A page on which teacher and student draw, answer and inpaint side by side (extra `demo`)."""
