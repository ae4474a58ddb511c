//! What every part of a process needs from its surroundings: the wall clock, new ids, and owned background tasks.

pub mod clock;
pub mod lifecycle;
