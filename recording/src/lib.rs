//! The flight recorder: a bounded ring of the inputs of a core, in files.
