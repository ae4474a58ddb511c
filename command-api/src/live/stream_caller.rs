//! Who a stream is for.

use crate::auth::Credential;
use crate::caller::Caller;

/// A caller without the grants of their tenant, which may change while the stream is open.
#[derive(Debug, Clone)]
pub(crate) struct StreamCaller {
    pub(crate) caller: Caller,
    pub(crate) credential: Credential,
}
