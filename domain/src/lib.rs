//! The rules of Waybill, and nothing else.
//!
//! Each aggregate is a pair of pure functions: `decide(state, command) -> events | rejection` and `apply(state, event)`, which never fails.
//! There is no IO here, no clock and no randomness: time and ids come in with the command. Start at [`device::Device`], the aggregate that
//! owns a device's updates; a campaign only decides which devices may begin ([`campaign`], [`rollout`]).

pub mod actor;
pub mod api_key;
pub mod campaign;
pub mod change;
pub mod claim;
pub mod decider;
pub mod device;
pub mod events;
pub mod few;
pub mod firmware;
pub mod fuota;
pub mod group;
pub mod ids;
pub mod key;
pub mod ledger;
pub mod lorawan;
pub mod lorawan_profile;
pub mod member;
pub mod per_transport;
pub mod plan;
pub mod planning;
pub mod preconditions;
pub mod registration_token;
pub mod rejection;
pub mod rollback;
pub mod rollout;
pub mod sealed;
pub mod secret_ref;
pub mod tenant;
pub mod thread;
pub mod token_hash;
pub mod values;
pub mod version;
pub mod window;
mod words;

pub use actor::{ActorKind, Person};
pub use decider::{CommandOf, Decider, Timed};
pub use ids::{
    Actor, ApiKeyId, CampaignId, CommandId, CredentialId, DeviceId, DeviceProfileId, DocumentId, FirmwareId,
    FuotaDeploymentId, GroupId, MemberId, RegistrationTokenId, SecretName, TenantId, UpdateId,
};
pub use key::{AggregateKey, Key};
pub use per_transport::PerTransport;
pub use rejection::{Refusal, Rejection, RejectionKind};
pub use sealed::Sealed;
pub use secret_ref::SecretRef;
pub use token_hash::TokenHash;

/// Cases of a property test: `usual`, or many more in a long test run (`make test-long`).
#[cfg(test)]
fn cases(usual: u32) -> u32 {
    const TIMES: u32 = 20;
    let is_long = std::env::var_os("WAYBILL_TEST_LONG").is_some_and(|value| value == "1");
    if is_long { usual * TIMES } else { usual }
}
