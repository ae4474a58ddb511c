//! When watching ends, and with which exit code.

use serde_json::Value;

use crate::exit::Exit;

/// What is waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Until {
    /// The end, or a moment at which the campaign goes on only if somebody acts.
    #[default]
    Settled,
    /// The end, also through pauses.
    Completed,
    /// A moment at which it waits for a person.
    Paused,
    /// This wave is open.
    Wave(u64),
}

/// What a state means for who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    GoOn,
    End(Exit),
}

/// How a campaign stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Moving,
    Waits,
    Completed,
    EndedBadly,
}

/// What only a person can give.
const PERSONS: [&str; 6] = ["operator", "approval", "resume", "accept", "firmware", "freeze"];

pub(super) fn parse(text: &str) -> Result<Until, String> {
    match text.split_once('=') {
        None if text == "completed" => Ok(Until::Completed),
        None if text == "paused" => Ok(Until::Paused),
        Some(("wave", wave)) => match wave.parse() {
            Ok(wave) if wave > 0 => Ok(Until::Wave(wave)),
            _ => Err("waves are numbered from 1".to_owned()),
        },
        _ => Err("it is completed, paused or wave=N".to_owned()),
    }
}

impl Until {
    pub(super) fn judge(self, status: &Value) -> Verdict {
        match (self, stand(status)) {
            (Self::Wave(wave), _) if is_open(status, wave) => Verdict::End(Exit::Done),
            (Self::Paused, Stand::Waits) => Verdict::End(Exit::Done),
            (Self::Settled | Self::Completed, Stand::Completed) => Verdict::End(Exit::Done),
            // What was waited for can't come any more.
            (_, Stand::Completed) => Verdict::End(Exit::Failed),
            (_, Stand::EndedBadly) => Verdict::End(Exit::EndedBadly),
            (Self::Settled | Self::Wave(_), Stand::Waits) => Verdict::End(Exit::Waits),
            (Self::Completed, Stand::Waits) | (_, Stand::Moving) => Verdict::GoOn,
        }
    }
}

fn stand(status: &Value) -> Stand {
    match status["status"].as_str().unwrap_or_default() {
        "completed" => Stand::Completed,
        "failed" | "rolled_back" | "completed_with_failures" | "cancelled" => Stand::EndedBadly,
        "draft" | "awaiting_approval" | "approved" | "rejected" | "paused" => Stand::Waits,
        _ => {
            let waits = status["waits_for"].as_array().into_iter().flatten();
            let by_person = waits.filter_map(|wait| wait["kind"].as_str()).any(|kind| PERSONS.contains(&kind));
            if by_person { Stand::Waits } else { Stand::Moving }
        }
    }
}

fn is_open(status: &Value, wave: u64) -> bool {
    let waves = status["waves"].as_array().into_iter().flatten();
    waves.filter(|row| row["wave"] == wave).any(|row| !row["opened_at"].is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(name: &str) -> Value {
        json!({"status": name, "waits_for": [], "waves": [{"wave": 1, "opened_at": "x"}, {"wave": 2, "opened_at": null}]})
    }

    #[test]
    fn each_end_has_its_code() {
        let ends = [
            ("completed", Exit::Done),
            ("completed_with_failures", Exit::EndedBadly),
            ("failed", Exit::EndedBadly),
            ("rolled_back", Exit::EndedBadly),
            ("cancelled", Exit::EndedBadly),
            ("paused", Exit::Waits),
            ("awaiting_approval", Exit::Waits),
            ("draft", Exit::Waits),
        ];
        for (name, exit) in ends {
            assert_eq!(Until::Settled.judge(&status(name)), Verdict::End(exit), "{name}");
        }
        for name in ["planning", "running", "scheduled", "cancelling", "rolling_back"] {
            assert_eq!(Until::Settled.judge(&status(name)), Verdict::GoOn, "{name}");
        }
    }

    #[test]
    fn a_running_campaign_may_wait_for_a_person() {
        let mut running = status("running");
        running["waits_for"] = json!([{"kind": "soak"}]);
        assert_eq!(Until::Settled.judge(&running), Verdict::GoOn);
        running["waits_for"] = json!([{"kind": "operator", "wave": 2}]);
        assert_eq!(Until::Settled.judge(&running), Verdict::End(Exit::Waits));
        assert_eq!(Until::Paused.judge(&running), Verdict::End(Exit::Done));
        assert_eq!(Until::Completed.judge(&running), Verdict::GoOn);
    }

    #[test]
    fn a_wave_is_waited_for() {
        assert_eq!(parse("wave=2"), Ok(Until::Wave(2)));
        assert_eq!(Until::Wave(1).judge(&status("running")), Verdict::End(Exit::Done));
        assert_eq!(Until::Wave(2).judge(&status("running")), Verdict::GoOn);
        assert_eq!(Until::Wave(2).judge(&status("paused")), Verdict::End(Exit::Waits));
        assert_eq!(Until::Wave(3).judge(&status("completed")), Verdict::End(Exit::Failed));
        assert!(["", "wave", "wave=0", "wave=x", "running"].iter().all(|text| parse(text).is_err()));
    }
}
