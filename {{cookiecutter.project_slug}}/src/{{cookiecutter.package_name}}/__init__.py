"""The model: from a table to a bundle that ships. The stages run in the order of dvc.yaml."""

import os

# Threads of scikit-learn that wait leave the processor to others: on a busy machine training takes a third of the time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
