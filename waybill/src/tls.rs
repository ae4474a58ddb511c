//! TLS of a process: the certificate that it shows, and the certificates that it trusts.
//!
//! One provider of cryptography, `ring`; TLS 1.2 and 1.3. A CA that is named in the settings is trusted alone, without those of the system.

mod certificate;
mod pem;
mod trusted;

pub use certificate::{CertificateArgs, ServedCertificate};
pub use trusted::{MqttTlsArgs, NatsTls, NatsTlsArgs, client, trusting};
pub(crate) use trusted::{pem_text, trusting_nobody, with_pem};
