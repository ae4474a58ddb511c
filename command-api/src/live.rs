//! Live messages: what changed at which position, to the clients that keep a stream open. Server-sent events (`events.rs`) and WebSocket
//! (`socket.rs`) say the same.
//!
//! One reader a process (`reader.rs`) follows the log while there is a stream, for a short time after the last one, and from a bounded part
//! of the past on, from which streams are resumed (`backlog.rs`). The hub (`hub.rs`) gives each change to the topics that it belongs to. A
//! topic gathers its changes to at most four messages a second (`coalescer.rs`), each of which is made once for all of its streams and waits for
//! each client in a queue (`queue.rs`).
//!
//! Invariants: a message names what changed and never shows it; every queue is bounded, and a client that doesn't keep up is told to read
//! everything again and closed, so it slows no other stream; a stream ends within seconds after its caller may no longer have it (`guard.rs`).

mod backlog;
mod change;
mod client;
mod coalescer;
mod events;
mod guard;
mod hub;
mod message;
mod metrics;
mod opened_by;
mod opening;
mod queue;
mod reader;
mod slots;
mod socket;
mod stream_caller;
mod ticket;
mod topic;

pub(crate) use events::{__path_event_stream, event_stream};
pub(crate) use hub::Hub;
pub(crate) use metrics::describe;
pub(crate) use opened_by::opened_by;
pub(crate) use slots::StreamSlots;
pub(crate) use socket::{__path_event_socket, event_socket};
pub(crate) use stream_caller::StreamCaller;
pub use ticket::TicketParts;
pub(crate) use ticket::{__path_issue_stream_ticket, issue_stream_ticket};
