"""The application without its panels: state, history, engine, pipeline, export, window."""
