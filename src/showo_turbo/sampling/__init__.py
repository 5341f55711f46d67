"""Decoding: mask schedules, parallel image denoising, Jacobi and autoregressive text."""
