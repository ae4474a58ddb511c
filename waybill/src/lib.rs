//! Placeholder head; see ARCHITECTURE.md.
pub mod simulate;
