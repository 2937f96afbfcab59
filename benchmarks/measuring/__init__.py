"""Measuring: processor seconds and memory of all processes, and what a run's stages took. Linux only (/proc)."""
