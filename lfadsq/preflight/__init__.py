"""Looking at a run collection on disk before it is trained: what would fail, and what misleads.

Everything is read first, into plain facts (`layout`, `run_scripts`, `summaries`, `input_files`,
`input_infos`, `scans`); pure functions then make `findings.Finding` of them. Nothing is written but
one small file that vanishes again. Imports no TensorFlow.
"""
