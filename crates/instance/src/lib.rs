//! Isolated instances (network namespaces) behind one trait.
