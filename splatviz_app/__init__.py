"""The application without its panels: state, history, engine, pipeline, export, window."""

import os

# torch's threads wait for each other hundreds of times for one head, spinning. Where the window (or any
# other program) has one of the cores, that took 17 s for a head of 0.17 s; sleeping instead takes 0.2 s
# alone and 0.4 s beside the others. Read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
