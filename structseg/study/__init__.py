"""Runs of runs: tables, made of ordinary run folders.

Level 4: knows everything but the command line and the web page. It trains nothing itself: each run is a process of its
own, which can be stopped, looked at and gone on with like any other.
"""
