//! Merges several readers of one stream, in the order of the stream.
//!
//! Each message says whether more of its kind follow. While a reader has more to deliver, messages of other readers are delayed, for a
//! limited time. So a backlog is in order over all channels of a device, and a reader that gets nothing does not block the others. A
//! message after a gap in the numbers is delayed too, for a shorter time: the missing message may arrive from another reader.

use std::collections::VecDeque;
use std::fmt::Display;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt};
use tokio::time::{Instant, timeout_at};

/// How long messages are delayed for one that should come before them.
const HELD_BACK: Duration = Duration::from_millis(100);
/// How long a message after a gap is delayed, from its arrival. Many gaps are never filled: the stream also has commands to devices, and
/// other processes take some of the messages.
const GAP_HELD_BACK: Duration = Duration::from_millis(20);
/// Messages of one reader that wait here.
const WAITING_MAX: usize = 1_000;

/// A message with its position.
pub(super) trait InOrder {
    /// Its number in the stream, and whether more of its kind follow.
    fn place(&self) -> (u64, bool);
}

struct SourceBuffer<S, M> {
    source: S,
    /// Messages with the time of their arrival.
    waiting: VecDeque<(Instant, M)>,
    /// More messages follow in the stream.
    owes: bool,
    /// Since when the buffer is empty.
    empty_since: Instant,
}

impl<S, M> SourceBuffer<S, M> {
    /// Until when the next message of this source is waited for; none if none is expected.
    fn owes_until(&self) -> Option<Instant> {
        (self.owes && self.waiting.is_empty()).then(|| self.empty_since + HELD_BACK)
    }
}

pub(super) struct Merge<S, M> {
    buffers: Vec<SourceBuffer<S, M>>,
    /// The highest number handed out.
    last: u64,
}

/// The next action.
enum Next<M> {
    Ready(M),
    /// A message is available, but is delayed until then.
    HeldUntil(Instant),
    Nothing,
}

impl<S, M, E> Merge<S, M>
where
    S: Stream<Item = Result<M, E>> + Unpin,
    M: InOrder,
    E: Display,
{
    pub(super) fn new(sources: Vec<S>) -> Self {
        let buffer =
            |source| SourceBuffer { source, waiting: VecDeque::new(), owes: false, empty_since: Instant::now() };
        Self { buffers: sources.into_iter().map(buffer).collect(), last: 0 }
    }

    /// The next message, or the reason if a reader has failed or ended.
    pub(super) async fn next(&mut self) -> Result<M, String> {
        loop {
            // All messages that have arrived are compared.
            poll_fn(|context| Poll::Ready(self.fill(context))).await?;
            match self.choose(Instant::now()) {
                Next::Ready(message) => return Ok(message),
                Next::Nothing => poll_fn(|context| self.arrival(context)).await?,
                Next::HeldUntil(until) => {
                    if let Ok(arrival) = timeout_at(until, poll_fn(|context| self.arrival(context))).await {
                        arrival?;
                    }
                }
            }
        }
    }

    /// Takes the messages that have arrived; returns their number.
    fn fill(&mut self, context: &mut Context<'_>) -> Result<usize, String> {
        let mut count = 0;
        for buffer in &mut self.buffers {
            while buffer.waiting.len() < WAITING_MAX {
                match buffer.source.poll_next_unpin(context) {
                    Poll::Ready(Some(Ok(message))) => {
                        buffer.owes = message.place().1;
                        buffer.waiting.push_back((Instant::now(), message));
                        count += 1;
                    }
                    Poll::Ready(Some(Err(error))) => return Err(error.to_string()),
                    Poll::Ready(None) => return Err("ended".to_owned()),
                    Poll::Pending => break,
                }
            }
        }
        Ok(count)
    }

    /// Waits until another message has arrived.
    fn arrival(&mut self, context: &mut Context<'_>) -> Poll<Result<(), String>> {
        match self.fill(context) {
            Ok(0) => Poll::Pending,
            Ok(_) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn choose(&mut self, now: Instant) -> Next<M> {
        // A message that does not arrive in time may have been delivered to another process.
        let overdue = |buffer: &&mut SourceBuffer<S, M>| buffer.owes_until().is_some_and(|until| until <= now);
        self.buffers.iter_mut().filter(overdue).for_each(|buffer| buffer.owes = false);
        let owed_until = self.buffers.iter().filter_map(SourceBuffer::owes_until).max();
        let number = |buffer: &&mut SourceBuffer<S, M>| buffer.waiting.front().map(|(_, message)| message.place().0);
        let filled = self.buffers.iter_mut().filter(|buffer| !buffer.waiting.is_empty());
        let Some(first) = filled.min_by_key(number) else { return Next::Nothing };
        let Some((arrived, place)) = first.waiting.front().map(|(arrived, message)| (*arrived, message.place().0))
        else {
            return Next::Nothing;
        };
        let gap_until = (place > self.last + 1).then(|| arrived + GAP_HELD_BACK);
        if let Some(until) = owed_until.max(gap_until).filter(|until| *until > now) {
            return Next::HeldUntil(until);
        }
        let message = first.waiting.pop_front().map(|(_, message)| message);
        first.empty_since = now;
        self.last = self.last.max(place);
        message.map_or(Next::Nothing, Next::Ready)
    }

    /// All messages that have arrived and were not returned.
    pub(super) fn fetched(&mut self) -> Vec<M> {
        let mut fetched = Vec::new();
        for buffer in &mut self.buffers {
            fetched.extend(buffer.waiting.drain(..).map(|(_, message)| message));
            while let Some(Some(Ok(message))) = buffer.source.next().now_or_never() {
                fetched.push(message);
            }
        }
        fetched
    }
}

#[cfg(test)]
mod tests {
    use futures::stream::{self, BoxStream};

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Numbered(u64, bool);

    impl InOrder for Numbered {
        fn place(&self) -> (u64, bool) {
            (self.0, self.1)
        }
    }

    type Source = BoxStream<'static, Result<Numbered, String>>;

    /// Delivers the numbers, then nothing.
    fn buffer(numbers: &[u64], more_than_came: bool) -> Source {
        let last = numbers.len().saturating_sub(1);
        let messages: Vec<_> = numbers
            .iter()
            .enumerate()
            .map(|(index, number)| Ok(Numbered(*number, index < last || more_than_came)))
            .collect();
        stream::iter(messages).chain(stream::pending()).boxed()
    }

    async fn numbers(merge: &mut Merge<Source, Numbered>, count: usize) -> Vec<u64> {
        let mut found = Vec::new();
        for _ in 0..count {
            found.push(merge.next().await.unwrap().0);
        }
        found
    }

    #[tokio::test]
    async fn a_backlog_comes_in_the_order_of_the_stream() {
        let mut merge = Merge::new(vec![buffer(&[1, 4, 9], false), buffer(&[], false), buffer(&[2, 3, 8, 10], false)]);
        assert_eq!(numbers(&mut merge, 7).await, [1, 2, 3, 4, 8, 9, 10]);
    }

    /// The first message did not announce the second one, which was stored earlier and arrives later.
    #[tokio::test]
    async fn a_message_waits_for_an_earlier_one_that_is_late() {
        let late = stream::once(async {
            tokio::time::sleep(GAP_HELD_BACK / 4).await;
            Ok(Numbered(2, false))
        });
        let reports = stream::iter([Ok(Numbered(1, false))]).chain(late).chain(stream::pending()).boxed();
        let mut merge = Merge::new(vec![reports, buffer(&[3], false)]);
        assert_eq!(numbers(&mut merge, 3).await, [1, 2, 3]);
    }

    #[tokio::test]
    async fn gaps_that_never_fill_cost_one_wait() {
        let odd: Vec<u64> = (0..500).map(|n| 2 * n + 1).collect();
        let mut merge = Merge::new(vec![buffer(&odd, false)]);
        let began = Instant::now();
        assert_eq!(numbers(&mut merge, 500).await, odd);
        assert!(began.elapsed() < 50 * GAP_HELD_BACK, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn an_announced_message_that_does_not_arrive_delays_others_only_briefly() {
        let mut merge = Merge::new(vec![buffer(&[1], true), buffer(&[5, 6], false)]);
        assert_eq!(numbers(&mut merge, 3).await, [1, 5, 6]);
    }

    #[tokio::test]
    async fn fetched_messages_can_be_given_back() {
        let mut merge = Merge::new(vec![buffer(&[1, 3], false), buffer(&[2], false)]);
        assert_eq!(merge.next().await.unwrap().0, 1);
        let mut back: Vec<u64> = merge.fetched().into_iter().map(|message| message.0).collect();
        back.sort_unstable();
        assert_eq!(back, [2, 3]);
    }
}
