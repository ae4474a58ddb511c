//! Threads: which events of an aggregate belong to one matter, so that each can say what it goes back to.
//!
//! A device's update is a thread, and so is a campaign. All events of a thread carry one correlation id: the one that its first event
//! had. What an aggregate says here is a name for each thread, nothing more; the event store keeps where each stands in the log, and
//! writes correlation and causation of a command that comes without its own (ADR 23).

/// A thread of one aggregate. What the number means is up to the aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thread(pub u32);

/// A place in a thread that later commands go back to, such as the event that set a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point(pub u32);

/// How an event belongs to a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub thread: Thread,
    pub kind: StepKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// The thread goes on; an unknown one begins here.
    GoesOn,
    /// From here on the thread carries the correlation id of this event.
    Restarts,
    /// The thread begins here and goes on for another one.
    TakesOver(Thread),
}

impl Step {
    pub fn goes_on(thread: Thread) -> Self {
        Self { thread, kind: StepKind::GoesOn }
    }
}

/// The threads that a command is meant for. What it sets off in others goes back to their own last event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aim {
    /// None stands for every thread.
    threads: Option<Vec<Thread>>,
    /// The command follows from the newest of these; from the thread's last event when there is none.
    pub points: Vec<(Thread, Point)>,
}

impl Aim {
    /// Every thread: a message of a device may touch any of them.
    pub fn any() -> Self {
        Self { threads: None, points: Vec::new() }
    }

    /// The aggregate as a whole: what an operator does to a device.
    pub fn whole() -> Self {
        Self::at(Vec::new())
    }

    pub fn at(threads: Vec<Thread>) -> Self {
        Self { threads: Some(threads), points: Vec::new() }
    }

    /// The same, following from the newest of these places.
    #[must_use]
    pub fn from(self, thread: Thread, points: &[Point]) -> Self {
        Self { points: points.iter().map(|point| (thread, *point)).collect(), ..self }
    }

    pub fn includes(&self, thread: Thread) -> bool {
        self.threads.as_ref().is_none_or(|threads| threads.contains(&thread))
    }
}
