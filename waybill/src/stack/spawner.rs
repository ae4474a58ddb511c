//! The one thread that forks children.
//!
//! The kernel sends a child's death signal when the **thread** that forked it dies, so a thread of an async runtime's pool must not fork.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

/// Sets the death signal, and the other user first.
const SETPRIV: &str = "setpriv";

/// Forks on its own thread. Clones share it. It and the children live as long as one of them.
#[derive(Clone)]
pub struct Spawner {
    requests: Arc<Sender<Request>>,
}

struct Request {
    command: Command,
    reply: Sender<io::Result<Child>>,
}

/// The user of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunAs {
    Same,
    User { uid: u32, gid: u32 },
}

impl Spawner {
    pub fn start() -> Self {
        let (requests, inbox) = channel::<Request>();
        std::thread::spawn(move || {
            while let Ok(mut request) = inbox.recv() {
                let child = request.command.spawn().map_err(|error| explained(&request.command, error));
                // If the requester is gone, the child is killed when it is dropped here.
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

/// Says what to do if the program is missing.
fn explained(command: &Command, error: io::Error) -> io::Error {
    let program = command.get_program().display();
    match error.kind() {
        io::ErrorKind::NotFound if command.get_program() == SETPRIV => {
            io::Error::other("setpriv is missing: install it, for example: apt-get install util-linux")
        }
        io::ErrorKind::NotFound => io::Error::other(format!("{program} is missing: run `make setup`")),
        _ => error,
    }
}

/// A command that dies with its parent, if the system supports that.
pub(super) fn command(program: &Path, run_as: RunAs) -> Command {
    if !cfg!(target_os = "linux") {
        let mut command = Command::new(program);
        command.process_group(0);
        if let RunAs::User { uid, gid } = run_as {
            command.uid(uid).gid(gid);
        }
        return command;
    }
    let mut command = Command::new(SETPRIV);
    // A Ctrl-C in the terminal is only for the parent, which stops its servers in order.
    command.process_group(0);
    if let RunAs::User { uid, gid } = run_as {
        command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups");
    }
    // Changing credentials clears the death signal: setpriv sets it last.
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}
