//! `run`: a command to a device beside its updates. `run/{n}/status`: the device's report on it.

use chrono::{DateTime, SubsecRound, Utc};
use domain::Sealed;
use domain::device::{CommandReport, CommandReportStatus, RemoteCommand, is_code};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::report::code_and_message;
use super::{Malformed, PROTOCOL, bounds, read};

/// Largest result of a command, in bytes of JSON.
pub const RESULT_MAX_BYTES: usize = 4 * 1024;
/// Field of a sealed value: a result that has it would be read as one.
const SEALED_FIELD: &str = "$sealed";

/// A command as sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunMessage {
    pub v: u16,
    pub n: u32,
    pub name: String,
    pub params: Map<String, Value>,
    /// Until the end of the time in which the device may accept it, when the message was sent.
    pub expires_in_s: i64,
    pub expires_at: DateTime<Utc>,
}

impl RunMessage {
    /// None if its parameters are sealed: without them it would be another command. The seconds are rounded up, so that they are never 0 while
    /// the command is open.
    pub fn of(command: &RemoteCommand, now: DateTime<Utc>) -> Option<Self> {
        let params = match &command.params {
            Some(params) => params.plain()?.clone(),
            None => Map::new(),
        };
        let left_ms = (command.expires_at - now).num_milliseconds().max(0);
        Some(Self {
            v: PROTOCOL,
            n: command.n,
            name: command.name.clone(),
            params,
            expires_in_s: left_ms.div_euclid(1_000) + i64::from(left_ms % 1_000 > 0),
            expires_at: command.expires_at.trunc_subsecs(0),
        })
    }
}

/// A report as sent. If other values are invalid, the status still counts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RunReport {
    pub status: String,
    #[serde(default)]
    pub code: Value,
    #[serde(default)]
    pub message: Value,
    #[serde(default)]
    pub result: Value,
}

impl RunReport {
    pub fn read(payload: &[u8]) -> Result<Self, Malformed> {
        read(payload)
    }

    /// Ignored values of the report, with the valid form.
    pub fn ignored(&self) -> Option<String> {
        let code = bounds::text(&self.code);
        let is_known = code.as_ref().is_some_and(|code| code.is_empty() || is_code(code));
        bounds::ignored([
            ("code", &self.code, is_known, "a code of the protocol or x_…; it counts as x_unknown"),
            ("message", &self.message, self.message.is_string(), "a text"),
            ("result", &self.result, self.result().is_some(), "an object of at most 4 KiB"),
        ])
    }

    /// The report as the domain's type.
    pub fn to_report(&self, n: u32) -> Result<CommandReport, Malformed> {
        let status =
            CommandReportStatus::from_word(&self.status).ok_or_else(|| Malformed::new("status is not known"))?;
        let (code, message) = code_and_message(bounds::text(&self.code), bounds::text(&self.message));
        let result = self.result().map(|result| Sealed::Plain(result.clone()));
        Ok(CommandReport { n, status, code, message: bounds::message(message), result })
    }

    fn result(&self) -> Option<&Map<String, Value>> {
        let fits = |result: &&Map<String, Value>| {
            let bytes = serde_json::to_vec(result).map_or(usize::MAX, |json| json.len());
            bytes <= RESULT_MAX_BYTES && !result.contains_key(SEALED_FIELD)
        };
        self.result.as_object().filter(fits)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use domain::device::CommandState;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_command_says_how_many_seconds_are_left() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let command = RemoteCommand {
            n: 3,
            name: "reboot".to_owned(),
            params: None,
            state: CommandState::Sent,
            expires_at: now + TimeDelta::milliseconds(1_500),
            work_until: None,
            accepted_boot: None,
            is_contradicted: false,
        };
        let sent = serde_json::to_value(RunMessage::of(&command, now).unwrap()).unwrap();
        let wanted = json!({
            "v": 1, "n": 3, "name": "reboot", "params": {}, "expires_in_s": 2, "expires_at": "2024-10-04T00:00:01Z",
        });
        assert_eq!(sent, wanted);
        assert_eq!(RunMessage::of(&command, now + TimeDelta::days(1)).unwrap().expires_in_s, 0);
    }

    #[test]
    fn a_report_counts_without_its_invalid_values() {
        let read = |value: Value| RunReport::read(value.to_string().as_bytes()).unwrap();
        let report = read(json!({"status": "failed", "code": "E7", "message": "m", "result": {"lines": 2}}));
        let plain = report.to_report(3).unwrap();
        assert_eq!((plain.n, plain.status, plain.code.as_deref()), (3, CommandReportStatus::Failed, Some("x_unknown")));
        assert_eq!(plain.message, Some(Sealed::Plain("code E7: m".to_owned())));
        let large = json!({"text": "x".repeat(RESULT_MAX_BYTES)});
        for odd in [json!(7), json!("text"), json!({"$sealed": "x"}), large] {
            let report = read(json!({"status": "done", "result": odd}));
            assert_eq!(report.to_report(3).unwrap().result, None);
            assert!(report.ignored().unwrap().starts_with("result is "));
        }
        assert!(read(json!({"status": "received"})).to_report(3).is_err());
    }
}
