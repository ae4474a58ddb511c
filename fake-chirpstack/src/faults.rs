//! Misbehaviour on demand: calls that fail, hang, are slow or lose their replies.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tonic::{Code, Status};

/// Faults at most that wait.
const FAULTS_MAX: usize = 1_000;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// Answers this status and does nothing. `code` is a number of gRPC.
    Fails { code: i32, message: String },
    /// Never answers and does nothing.
    Hangs,
    /// Does the work, then the caller sees a broken call.
    LosesReply,
    /// Does the work after this time.
    Delays { millis: u64 },
}

impl FaultKind {
    pub(crate) fn status(code: i32, message: &str) -> Status {
        Status::new(Code::from_i32(code), message)
    }
}

#[derive(Debug)]
struct Fault {
    /// The end of a path, such as `Create` or `DeviceService/Create`; empty: every call.
    path: String,
    remaining: u32,
    kind: FaultKind,
}

/// Faults that wait for their calls.
#[derive(Debug, Default)]
pub(crate) struct Faults(VecDeque<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, path: String, times: u32, kind: FaultKind) {
        if times > 0 && self.0.len() < FAULTS_MAX {
            self.0.push_back(Fault { path, remaining: times, kind });
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault of this call, used up once.
    pub(crate) fn take(&mut self, path: &str) -> Option<FaultKind> {
        let index = self.0.iter().position(|fault| fault.matches(path))?;
        let fault = self.0.get_mut(index)?;
        fault.remaining -= 1;
        let kind = fault.kind.clone();
        if fault.remaining == 0 {
            self.0.remove(index);
        }
        Some(kind)
    }
}

impl Fault {
    fn matches(&self, path: &str) -> bool {
        path.strip_suffix(self.path.as_str()).is_some_and(|rest| self.path.is_empty() || rest.ends_with(['/', '.']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_hits_as_many_calls_as_it_was_set_for() {
        let mut faults = Faults::default();
        faults.add("DeviceService/Create".to_owned(), 2, FaultKind::Hangs);
        assert_eq!(faults.take("/api.DeviceService/CreateKeys"), None);
        assert_eq!(faults.take("/api.DeviceService/Create"), Some(FaultKind::Hangs));
        assert_eq!(faults.take("/api.DeviceService/Create"), Some(FaultKind::Hangs));
        assert_eq!(faults.take("/api.DeviceService/Create"), None);
        faults.add(String::new(), 1, FaultKind::LosesReply);
        assert_eq!(faults.take("/api.FuotaService/ListJobs"), Some(FaultKind::LosesReply));
    }
}
