//! Home of the simulator's tests; see `tests/`.
