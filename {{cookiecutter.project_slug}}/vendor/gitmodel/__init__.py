"""The life of a model that is versioned with Git and DVC: the library; the user's room is `src/`."""

import os

# Threads of scikit-learn that wait leave the processor to others: on a busy machine training takes a third of the time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
