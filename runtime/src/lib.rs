//! What every part of a process needs from its surroundings: the wall clock, new ids, owned background tasks, and connections to addresses
//! that tenants set.

pub mod clock;
pub mod lifecycle;
pub mod network;
pub mod outward;
