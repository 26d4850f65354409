"""Whole scenes for the finder: numbers, and what is not a number, in photos or before drawn walls."""
