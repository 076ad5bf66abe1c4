"""Renderers: HTML, Markdown, LaTeX, terminal, JUnit, CI job summary."""
