//! The one thread that forks children.
//!
//! The kernel sends a child's death signal when the **thread** that forked it dies, so a thread of an async runtime's pool must not fork.

use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

/// Forks on its own thread. Clones share it; it lives as long as one of them, and so do the children.
#[derive(Clone)]
pub struct Spawner {
    requests: Arc<Sender<Request>>,
}

struct Request {
    command: Command,
    reply: Sender<io::Result<Child>>,
}

/// Whom a child runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunAs {
    Same,
    User { uid: u32, gid: u32 },
}

impl Spawner {
    pub fn start() -> Self {
        let (requests, inbox) = channel::<Request>();
        std::thread::spawn(move || {
            while let Ok(mut request) = inbox.recv() {
                let child = request.command.spawn();
                // The asker may be gone; then the child is killed when it is dropped here unasked for.
                if let Err(error) = request.reply.send(child)
                    && let Ok(mut child) = error.0
                {
                    drop(child.kill());
                    drop(child.wait());
                }
            }
        });
        Self { requests: Arc::new(requests) }
    }

    pub(super) fn spawn(&self, command: Command) -> io::Result<Child> {
        let (reply, answer) = channel();
        let gone = |_| io::Error::other("the spawner thread is gone");
        self.requests.send(Request { command, reply }).map_err(|_| io::Error::other("the spawner thread is gone"))?;
        answer.recv().map_err(gone)?
    }
}

/// A command that dies with its parent, where the system can do that.
pub(super) fn command(program: &Path, run_as: RunAs) -> Command {
    if !cfg!(target_os = "linux") {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    if let RunAs::User { uid, gid } = run_as {
        command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups");
    }
    // Changing credentials clears the death signal: setpriv sets it last.
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}
