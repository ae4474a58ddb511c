//! `waybill campaign watch`: follows a campaign to its end, or until it waits for a person.

mod board;
mod until;

use std::time::{Duration, Instant};

use clap::{Arg, ArgMatches, Command};
use serde_json::Value;

use crate::description::Base;
use crate::duration;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::flags;
use crate::http::{Client, segment};
use crate::out;
use crate::output::{Format, printable};
use crate::plain::root;
use crate::sse::{AWAY_MAX, Stream};

use board::Board;
use until::{Until, Verdict};

/// A campaign is read again at least this often, also if no message comes.
const REFRESH: Duration = Duration::from_secs(10);
/// Results of gates that are looked at for the last sentence.
const GATES_READ: usize = 200;

pub(crate) fn command() -> Command {
    let until = Arg::new("until").long("until").value_name("completed|paused|wave=N").value_parser(until::parse);
    let timeout = Arg::new("timeout").long("timeout").value_name("TIME").value_parser(duration::parse);
    let command = Command::new("watch")
        .about("Follow a campaign to its end")
        .long_about(
            "Follow a campaign until it has ended, or waits for a person.\n\nOn a terminal a board is kept up to date; in a pipe each change is a line. At the end the gate's sentence is printed.\n\n\
             Exit codes: 0 completed, or as --until says; 6 failed, rolled back, cancelled or completed with failures; 7 waits for a person; 8 timeout.",
        )
        .arg(Arg::new("path:campaign_id").value_name("CAMPAIGN").required(true))
        .arg(until.help("completed: also wait while it is paused; paused: end well when it waits for a person; wave=N: end when wave N is open"))
        .arg(timeout.help("End with exit code 8 after this time, such as 30m or 2h"));
    flags::common(command)
}

/// Returns the exit code that the campaign's state has.
pub(crate) async fn run(matches: &ArgMatches, client: &Client) -> Result<Exit> {
    let id = matches.get_one::<String>("path:campaign_id").cloned().unwrap_or_default();
    let until = matches.get_one::<Until>("until").copied().unwrap_or_default();
    let deadline = matches.get_one::<Duration>("timeout").map(|time| Instant::now() + *time);
    let campaign = Campaign {
        client,
        path: format!("{}/campaigns/{}", root(Base::Tenant, client.target.context.tenant.as_deref()), segment(&id)),
        id,
    };
    let format = Format::of(matches);
    let (status, exit) = campaign.follow(until, deadline, format).await?;
    if format.is_table() {
        let sentence = campaign.sentence(&status).await?;
        out::line(printable(&sentence))?;
    } else if !format.is_lines() {
        crate::output::made(format, &status)?;
    }
    Ok(exit)
}

struct Campaign<'a> {
    client: &'a Client,
    path: String,
    id: String,
}

impl Campaign<'_> {
    /// Reads the campaign after each message until its state is an end.
    async fn follow(&self, until: Until, deadline: Option<Instant>, format: Format<'_>) -> Result<(Value, Exit)> {
        // A wrong id or token fails before a stream is opened.
        let mut status = self.status(None).await?;
        let mut stream = Stream::new(self.client, vec![("campaign_id".to_owned(), self.id.clone())], None);
        let mut board = Board::new(format);
        let (mut is_current, mut away_since) = (false, None::<Instant>);
        loop {
            board.show(&status)?;
            // The first answer may be older than what the caller has just done; that of the stream's position isn't.
            if is_current && let Verdict::End(exit) = until.judge(&status) {
                board.end();
                return Ok((status, exit));
            }
            let pause =
                deadline.map_or(REFRESH, |deadline| REFRESH.min(deadline.saturating_duration_since(Instant::now())));
            let message = tokio::time::timeout(pause, stream.next()).await;
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                board.end();
                let state = status["status"].as_str().unwrap_or_default();
                return Err(Failure::new(Exit::TimedOut, format!("timeout: the campaign is {state}")));
            }
            let position = match message {
                Ok(message) => message?["position"].as_str().map(str::to_owned),
                Err(_) => None,
            };
            match self.status(position.as_deref()).await {
                Ok(read) => {
                    (status, away_since) = (read, None);
                    is_current |= position.is_some();
                }
                // A service that restarts is waited for, as by the stream.
                Err(failure) if failure.exit == Exit::Away => {
                    if away_since.get_or_insert_with(Instant::now).elapsed() > AWAY_MAX {
                        return Err(failure);
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn status(&self, position: Option<&str>) -> Result<Value> {
        let wait = position.map(|position| format!("?min_position={position}")).unwrap_or_default();
        self.client.get(format!("{}/status{wait}", self.path)).await
    }

    async fn sentence(&self, status: &Value) -> Result<String> {
        let gates = self.client.get(format!("{}/gates?limit={GATES_READ}", self.path)).await?;
        Ok(sentence(status, &gates))
    }
}

/// How the campaign stands, in a sentence or two: its status, what it waits for, and the gate that stopped or passed it last.
pub(crate) fn sentence(status: &Value, gates: &Value) -> String {
    let number = |name: &str| status[name].as_u64().unwrap_or_default();
    let state = status["status"].as_str().unwrap_or_default().replace('_', " ");
    let mut text = format!(
        "The campaign is {state}: {} of {} devices confirmed, {} failed.",
        number("confirmed"),
        number("enrolled"),
        number("failed"),
    );
    let waits: Vec<&str> =
        status["waits_for"].as_array().into_iter().flatten().filter_map(|wait| wait["detail"].as_str()).collect();
    if !waits.is_empty() {
        text.push_str(&format!(" It waits for {}.", waits.join("; ")));
    }
    if let Some(gate) = deciding_gate(status, gates) {
        let place = gate["wave"].as_u64().map(|wave| format!(" of wave {wave}")).unwrap_or_default();
        let (name, verdict) = (gate["gate"].as_str().unwrap_or_default(), gate["verdict"].as_str().unwrap_or_default());
        text.push_str(&format!(" Gate {name}{place} {verdict}: {}.", gate["sentence"].as_str().unwrap_or_default()));
    }
    text
}

/// The latest recorded result; of a campaign that was stopped the latest gate that closed.
fn deciding_gate<'a>(status: &Value, gates: &'a Value) -> Option<&'a Value> {
    let items = gates["items"].as_array()?;
    let closed = items.iter().rev().find(|gate| gate["verdict"] == "closed");
    if status["gate"].is_null() && status["status"] == "completed" { items.last() } else { closed.or(items.last()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_sentence_names_the_gate_that_stopped_it() {
        let status = json!({"status": "paused", "confirmed": 8, "enrolled": 40, "failed": 4, "gate": {},
            "waits_for": [{"kind": "accept", "detail": "an operator to accept the failures"}]});
        let gates = json!({"items": [
            {"wave": 1, "gate": "failure", "verdict": "closed", "sentence": "4 of 12 settled devices failed: 33 %, and at most 20 % is the rule"},
            {"wave": 1, "gate": "success", "verdict": "passed", "sentence": "x"},
        ]});
        assert_eq!(
            sentence(&status, &gates),
            "The campaign is paused: 8 of 40 devices confirmed, 4 failed. It waits for an operator to accept the failures. \
             Gate failure of wave 1 closed: 4 of 12 settled devices failed: 33 %, and at most 20 % is the rule."
        );
    }
}
