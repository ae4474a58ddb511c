//! How many devices of a wave are in which state.

use serde::{Deserialize, Serialize};

use crate::per_transport::PerTransport;

/// Declares the counts, so that what concerns all of them alike is written once.
macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Devices of one wave (or of all waves together), counted.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u32,)+
            /// Could be granted a slot now. Looked up with the view, not kept with the other counts.
            pub ready: u32,
            /// The LoRaWAN devices among them.
            #[serde(default)]
            pub lorawan_ready: u32,
            /// Could be granted a slot if their maintenance window was open. Looked up, too.
            #[serde(default)]
            pub closed: u32,
        }

        impl Counts {
            /// Names of the counts that read models keep, in the order of [`Self::kept`].
            pub const KEPT: &'static [&'static str] = &[$(stringify!($name)),+];

            /// The counts that read models keep.
            pub fn kept(&self) -> [u32; Self::KEPT.len()] {
                [$(self.$name),+]
            }

            /// The reverse of [`Self::kept`].
            pub fn of_kept([$($name),+]: [u32; Self::KEPT.len()]) -> Self {
                Self { $($name,)+ ready: 0, lorawan_ready: 0, closed: 0 }
            }

            #[must_use]
            pub fn plus(self, other: Self) -> Self {
                Self {
                    $($name: self.$name + other.$name,)+
                    ready: self.ready + other.ready,
                    lorawan_ready: self.lorawan_ready + other.lorawan_ready,
                    closed: self.closed + other.closed,
                }
            }

            /// Never below 0.
            #[must_use]
            pub fn minus(self, other: Self) -> Self {
                Self {
                    $($name: self.$name.saturating_sub(other.$name),)+
                    ready: self.ready.saturating_sub(other.ready),
                    lorawan_ready: self.lorawan_ready.saturating_sub(other.lorawan_ready),
                    closed: self.closed.saturating_sub(other.closed),
                }
            }
        }
    };
}

counts! {
    /// Devices that take part.
    enrolled,
    /// Answered `received` at least once.
    reached,
    confirmed,
    /// Failed, timed out, rejected or regressed.
    failed,
    /// Counted by the failure gate: ended in failure, or one attempt failed because of the image or the device. Only grows.
    gate_failed,
    /// Confirmed at some time, or counted as failed by the gate. Only grows.
    gate_settled,
    /// Hold a slot.
    in_use,
    /// The LoRaWAN devices among them.
    lorawan_in_use,
    /// Reached, and not ended, deferred or staged; or being cancelled.
    working,
    expired,
    cancelled,
    superseded,
    /// `gate_failed` when an operator accepted the failures.
    accepted_failed,
    /// `gate_settled` when an operator accepted the failures.
    accepted_settled,
    /// The part of `failed` that the gate had counted at that time. An update that continues and fails again is not counted twice.
    accepted_ended,
    /// Went back, in a rollback of the campaign.
    rolled_back,
    /// Their rollback failed.
    rollback_failed,
    /// Their rollback is under way, or waits.
    rolling_back,
    /// Have staged the version and do not run it yet.
    staged,
    /// The part of `staged` that the failure gate counts for an earlier attempt.
    staged_failed,
}

impl Counts {
    /// Devices with any outcome.
    pub fn ended(&self) -> u32 {
        self.confirmed + self.failed + self.expired + self.cancelled + self.superseded
    }

    pub fn has_everybody_ended(&self) -> bool {
        self.ended() >= self.enrolled
    }

    /// Devices that hold a slot, of each transport.
    pub fn slots_in_use(&self) -> PerTransport<u32> {
        PerTransport::of_total(self.in_use, self.lorawan_in_use)
    }

    /// Devices that could be granted a slot now, of each transport.
    pub fn ready_by_transport(&self) -> PerTransport<u32> {
        PerTransport::of_total(self.ready, self.lorawan_ready)
    }
}
