//! Why a state doesn't allow a command, in replies beside `allowed_commands`.

use std::collections::BTreeMap;

use domain::Refusal;
use serde::Serialize;
use utoipa::ToSchema;

/// Refused commands by name.
pub(crate) type WhyNot = BTreeMap<&'static str, RefusalBody>;

/// Why the state doesn't allow a command.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"code": "illegal_in_state", "detail": "a campaign that is draft can't be paused"}))]
pub(crate) struct RefusalBody {
    /// The last segment of the problem type that the command would get; `changes_nothing`, `not_held` and `update_cancelling` for what would change
    /// nothing, `held` for a device that is held.
    code: &'static str,
    detail: String,
}

pub(crate) fn why_not(refused: impl IntoIterator<Item = (&'static str, Refusal)>) -> WhyNot {
    let body = |Refusal { code, detail }| RefusalBody { code, detail };
    refused.into_iter().map(|(command, refusal)| (command, body(refusal))).collect()
}
