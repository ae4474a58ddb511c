//! Asks before something is taken away. The question names the context, because that is what people confuse.

use std::io::BufRead;

use clap::ArgMatches;

use crate::failure::{Failure, Result};
use crate::out;
use crate::target::Target;

/// Returns if it may be done.
pub(crate) fn ask(matches: &ArgMatches, target: &Target, what: &str) -> Result<()> {
    let what = what.trim();
    let place = if target.name == target.context.url {
        target.name.clone()
    } else {
        format!("{} ({})", target.name, target.context.url)
    };
    if matches.get_flag("yes") {
        out::note(format_args!("{what} in context {place}"));
        return Ok(());
    }
    if matches.get_flag("no-input") || !out::can_ask() {
        return Err(Failure::usage(format!("{what} in context {place}: nobody can be asked, so it needs --yes")));
    }
    eprint_question(&format!("{what} in context {place}? [y/N] "));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).ok();
    if ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        Ok(())
    } else {
        Err(Failure::here("not done"))
    }
}

fn eprint_question(text: &str) {
    use std::io::Write;
    let mut err = std::io::stderr().lock();
    write!(err, "{text}").and_then(|()| err.flush()).ok();
}
