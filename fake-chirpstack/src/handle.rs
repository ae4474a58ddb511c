//! What carries out commands, of tests and of the control endpoint.

use std::sync::Arc;

use tokio::sync::watch;

use crate::control::{self, Command, ControlError};
use crate::shared::Shared;

/// What commands and the control endpoint work on.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) is_up: watch::Sender<bool>,
}

impl Handle {
    pub(crate) fn carry_out(&self, command: Command) -> Result<(), ControlError> {
        match command {
            Command::GoDown => drop(self.is_up.send_replace(false)),
            Command::ComeUp => drop(self.is_up.send_replace(true)),
            command => control::carry_out(&self.shared, command)?,
        }
        Ok(())
    }
}
