//! Threads: the events of an aggregate that belong together. They provide correlation and causation ids.
//!
//! A device's update is a thread, and so is a campaign. All events of a thread carry one correlation id: the one that its first event had.
//! An aggregate only names its threads. The event store keeps the position of each in the log, and fills in correlation and causation of a
//! command that comes without them (ADR 23).

/// A thread of one aggregate. The aggregate defines the meaning of the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thread(pub u32);

/// A point in a thread that causes later commands, such as the event that set a clock.
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
    /// The thread continues. An unknown thread begins here.
    GoesOn,
    /// From here on the thread carries the correlation id of this event.
    Restarts,
    /// The thread begins here and continues another one.
    TakesOver(Thread),
}

impl Step {
    pub fn goes_on(thread: Thread) -> Self {
        Self { thread, kind: StepKind::GoesOn }
    }
}

/// The threads that a command addresses. Events of other threads name their own thread's last event as their cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aim {
    /// None stands for every thread.
    threads: Option<Vec<Thread>>,
    /// The command follows from the newest of these points, or from the thread's last event when there are none.
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

    /// The same aim, with the command following from the newest of these points.
    #[must_use]
    pub fn from(self, thread: Thread, points: &[Point]) -> Self {
        Self { points: points.iter().map(|point| (thread, *point)).collect(), ..self }
    }

    pub fn includes(&self, thread: Thread) -> bool {
        self.threads.as_ref().is_none_or(|threads| threads.contains(&thread))
    }
}
