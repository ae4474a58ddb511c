//! Why an invocation failed: one sentence and an exit code.

use std::fmt::Write;

use serde::Deserialize;

use crate::exit::Exit;

/// Longest part of an unexpected answer that is shown, in characters.
const SHOWN_MAX_CHARS: usize = 200;
/// Longest part of a problem that is shown, in characters, beside its type.
const PROBLEM_MAX_CHARS: usize = 4_000;

/// What is told on standard error, and how the process ends.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub(crate) struct Failure {
    pub exit: Exit,
    pub sentence: String,
    /// Status of the answer, if there was one.
    pub status: Option<u16>,
    /// Where the answer leads, if it is a redirection. It may be a presigned URL, so it is never printed.
    pub location: Option<String>,
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// The body of a refused request.
#[derive(Debug, Deserialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: String,
    detail: String,
    #[serde(default)]
    errors: Vec<FieldError>,
}

#[derive(Debug, Deserialize)]
struct FieldError {
    field: String,
    reason: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, sentence: impl Into<String>) -> Self {
        Self { exit, sentence: sentence.into(), status: None, location: None }
    }

    pub(crate) fn here(sentence: impl Into<String>) -> Self {
        Self::new(Exit::Failed, sentence)
    }

    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self::new(Exit::Usage, sentence)
    }

    /// A refused request: the problem's detail, its fields and its type.
    pub(crate) fn of_answer(status: u16, body: &[u8]) -> Self {
        let sentence = match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => problem.sentence(status),
            Err(_) => {
                let text: String = String::from_utf8_lossy(body).chars().take(SHOWN_MAX_CHARS).collect();
                format!("the service answered {status}: {}", text.trim())
            }
        };
        Self { exit: Exit::of_status(status), sentence, status: Some(status), location: None }
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.status == Some(404)
    }
}

impl Problem {
    fn sentence(&self, status: u16) -> String {
        let mut sentence = self.detail.trim_end_matches('.').to_owned();
        for FieldError { field, reason } in &self.errors {
            // A problem with one field often says the same in its detail.
            if !sentence.contains(reason.as_str()) {
                write!(sentence, "; {field}: {reason}").ok();
            }
        }
        let end = sentence.char_indices().nth(PROBLEM_MAX_CHARS).map(|(end, _)| end);
        if let Some(end) = end {
            sentence.truncate(end);
            sentence.push('…');
        }
        let kind: String = self.kind.trim_start_matches("/problems/").chars().take(SHOWN_MAX_CHARS).collect();
        write!(sentence, " ({kind}, {status})").ok();
        sentence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_sentence_with_its_type() {
        let body = br#"{"type":"/problems/invalid","title":"x","status":422,"detail":"The request is not valid.",
            "errors":[{"field":"name","reason":"is missing"}]}"#;
        let failure = Failure::of_answer(422, body);
        assert_eq!(failure.sentence, "The request is not valid; name: is missing (invalid, 422)");
        assert_eq!(failure.exit, Exit::Refused);
    }

    #[test]
    fn a_problem_without_end_is_shown_in_part() {
        let (kind, detail) = ("k".repeat(100_000), "é".repeat(100_000));
        let body = serde_json::json!({"type": kind, "detail": detail}).to_string();
        let sentence = Failure::of_answer(409, body.as_bytes()).sentence;
        assert!(sentence.chars().count() < PROBLEM_MAX_CHARS + SHOWN_MAX_CHARS + 20, "{}", sentence.len());
        assert!(sentence.ends_with("k, 409)"), "{sentence}");
    }

    #[test]
    fn an_answer_of_a_proxy_is_shown_in_part() {
        let failure = Failure::of_answer(502, "x".repeat(5000).as_bytes());
        assert!(failure.sentence.len() < 300 && failure.sentence.contains("502"));
        assert_eq!(failure.exit, Exit::Away);
    }
}
