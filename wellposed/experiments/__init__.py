"""Reproduced papers: each claim an assertion that runs, with a table and a figure."""
