"""A page on which teacher and student generate, answer and inpaint side by side (extra `demo`)."""
