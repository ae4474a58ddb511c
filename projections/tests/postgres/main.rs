//! The read models over a real PostgreSQL, fed by the domain through a log in memory.

mod campaigns;
mod fleet;
mod isolation;
mod lists;
mod trouble;

mod server;
