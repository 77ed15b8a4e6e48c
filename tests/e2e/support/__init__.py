"""What the end-to-end tests share: servers that they start, clients, and waiting for conditions."""

import pathlib

TOP = pathlib.Path(__file__).resolve().parents[3]  # of the tree
