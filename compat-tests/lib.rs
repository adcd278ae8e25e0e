//! Black-box suites against a running server.
