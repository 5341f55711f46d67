"""The curriculum: stages and their rounds, and the teacher and trajectories of a round."""

from .stage import Stage

__all__ = ["Stage"]
