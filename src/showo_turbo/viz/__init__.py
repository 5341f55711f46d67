"""Figures: grids, film strips, plots, and the page of a report."""
