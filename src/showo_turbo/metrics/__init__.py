"""Scores of generated images and texts."""
