//! Several readers of one stream, read as one, in the order of the stream.
//!
//! Each message says whether more of its kind wait behind it. While a reader owes a message, those of others are held back, for a
//! bounded time: so a backlog comes in order over all channels of a device, and a reader that gets nothing holds up nobody.

use std::fmt::Display;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt};
use tokio::time::timeout;

/// How long messages are held back for one that should come before them.
const HELD_BACK: Duration = Duration::from_millis(100);

/// A message with its place.
pub(super) trait InOrder {
    /// Its number in the stream, and whether more of its kind wait behind it.
    fn place(&self) -> (u64, bool);
}

struct Lane<S: Stream> {
    source: S,
    head: Option<S::Item>,
    owes: bool,
}

pub(super) struct Merge<S: Stream> {
    lanes: Vec<Lane<S>>,
}

impl<S, M, E> Merge<S>
where
    S: Stream<Item = Result<M, E>> + Unpin,
    M: InOrder,
    E: Display,
{
    pub(super) fn new(sources: Vec<S>) -> Self {
        Self { lanes: sources.into_iter().map(|source| Lane { source, head: None, owes: false }).collect() }
    }

    /// The next message; the reason when a reader has failed or ended.
    pub(super) async fn next(&mut self) -> Result<M, String> {
        if let Some(ready) = poll_fn(|context| self.poll(context, false)).now_or_never() {
            return ready;
        }
        if self.lanes.iter().all(|lane| lane.head.is_none()) {
            return poll_fn(|context| self.poll(context, false)).await;
        }
        match timeout(HELD_BACK, poll_fn(|context| self.poll(context, false))).await {
            Ok(next) => next,
            Err(_) => {
                // What was owed has gone another way, to another process perhaps.
                self.lanes.iter_mut().filter(|lane| lane.head.is_none()).for_each(|lane| lane.owes = false);
                poll_fn(|context| self.poll(context, true)).await
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, late: bool) -> Poll<Result<M, String>> {
        for lane in self.lanes.iter_mut().filter(|lane| lane.head.is_none()) {
            match lane.source.poll_next_unpin(context) {
                Poll::Ready(Some(Ok(message))) => {
                    lane.owes = message.place().1;
                    lane.head = Some(Ok(message));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error.to_string())),
                Poll::Ready(None) => return Poll::Ready(Err("ended".to_owned())),
                Poll::Pending => {}
            }
        }
        let owed = self.lanes.iter().any(|lane| lane.head.is_none() && lane.owes);
        if owed && !late {
            return Poll::Pending;
        }
        let number = |lane: &&mut Lane<S>| match &lane.head {
            Some(Ok(message)) => message.place().0,
            Some(Err(_)) | None => u64::MAX,
        };
        let first = self.lanes.iter_mut().filter(|lane| lane.head.is_some()).min_by_key(number);
        match first.and_then(|lane| lane.head.take()) {
            Some(Ok(message)) => Poll::Ready(Ok(message)),
            Some(Err(error)) => Poll::Ready(Err(error.to_string())),
            None => Poll::Pending,
        }
    }

    /// Everything that has come and hasn't been handed out.
    pub(super) fn fetched(&mut self) -> Vec<M> {
        let mut fetched = Vec::new();
        for lane in &mut self.lanes {
            fetched.extend(lane.head.take().and_then(Result::ok));
            while let Some(Some(Ok(message))) = lane.source.next().now_or_never() {
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

    /// Delivers the numbers, then nothing for ever.
    fn lane(numbers: &[u64], more_than_came: bool) -> Source {
        let last = numbers.len().saturating_sub(1);
        let messages: Vec<_> = numbers
            .iter()
            .enumerate()
            .map(|(index, number)| Ok(Numbered(*number, index < last || more_than_came)))
            .collect();
        stream::iter(messages).chain(stream::pending()).boxed()
    }

    async fn numbers(merge: &mut Merge<Source>, count: usize) -> Vec<u64> {
        let mut found = Vec::new();
        for _ in 0..count {
            found.push(merge.next().await.unwrap().0);
        }
        found
    }

    #[tokio::test]
    async fn a_backlog_comes_in_the_order_of_the_stream() {
        let mut merge = Merge::new(vec![lane(&[1, 4, 9], false), lane(&[], false), lane(&[2, 3, 8, 10], false)]);
        assert_eq!(numbers(&mut merge, 7).await, [1, 2, 3, 4, 8, 9, 10]);
    }

    #[tokio::test]
    async fn what_is_owed_and_does_not_come_holds_up_nobody_for_long() {
        let mut merge = Merge::new(vec![lane(&[1], true), lane(&[5, 6], false)]);
        assert_eq!(numbers(&mut merge, 3).await, [1, 5, 6]);
    }

    #[tokio::test]
    async fn what_was_fetched_can_be_given_back() {
        let mut merge = Merge::new(vec![lane(&[1, 3], false), lane(&[2], false)]);
        assert_eq!(merge.next().await.unwrap().0, 1);
        let mut back: Vec<u64> = merge.fetched().into_iter().map(|message| message.0).collect();
        back.sort_unstable();
        assert_eq!(back, [2, 3]);
    }
}
