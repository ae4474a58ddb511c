//! Empty: the system tests are in `tests/`.
