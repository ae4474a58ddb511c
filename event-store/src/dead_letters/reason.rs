//! Why a message became a dead letter: a closed set, for filters and metrics.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident => $word:literal;)+) => {
        /// Why a message of a device became a dead letter.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum DeadLetterReason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl DeadLetterReason {
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Its stable name, one token of a subject.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// Its meaning, for the documentation.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

reasons! {
    /// The payload can't be read, or a required value is invalid.
    Malformed => "malformed";
    /// The topic is not in the device protocol.
    UnknownTopic => "unknown_topic";
    /// No device with this id is registered.
    NoSuchDevice => "no_such_device";
    /// The device is decommissioned.
    DeviceDecommissioned => "device_decommissioned";
    /// A report on an ordinal that the device was never given.
    NoSuchUpdate => "no_such_update";
    /// A report on an attempt that was never made.
    NoSuchAttempt => "no_such_attempt";
    /// A report on a command that the device was never given.
    NoSuchCommand => "no_such_command";
    /// The message was applied without optional values that are invalid.
    PartlyIgnored => "partly_ignored";
    /// The message was published with QoS 0; the protocol asks for QoS 1.
    QosZero => "qos_0";
    /// The message was published retained, which the protocol forbids.
    Retained => "retained";
    /// The device restarts more often than its boots are written to its history.
    BootLoop => "boot_loop";
    /// More different reports at once than are kept of one device.
    TooMany => "too_many";
    /// The rules refuse the message.
    Rejected => "rejected";
    /// The record of the device can't be read or written.
    Broken => "broken";
}

impl DeadLetterReason {
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.word() == word)
    }

    /// Whether the message was applied anyway, so that the dead letter is only a note for firmware developers.
    pub fn is_note(self) -> bool {
        matches!(self, Self::PartlyIgnored | Self::QosZero | Self::Retained | Self::BootLoop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::is_token;

    #[test]
    fn every_reason_has_a_word_of_its_own_that_fits_a_subject() {
        for reason in DeadLetterReason::ALL {
            assert!(is_token(reason.word()), "{reason:?}");
            assert_eq!(DeadLetterReason::parse(reason.word()), Some(*reason));
        }
    }
}
