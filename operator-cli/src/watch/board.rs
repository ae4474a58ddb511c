//! What watching shows: bars on a terminal, lines in a pipe.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::failure::Result;
use crate::out;
use crate::output::{self, Format, printable};

/// Waves that have a bar; further ones are in the line above.
const BARS_MAX: usize = 20;

pub(super) enum Board<'a> {
    Bars {
        all: MultiProgress,
        head: ProgressBar,
        waves: Vec<ProgressBar>,
    },
    /// A line for each change: the last one.
    Lines(Option<String>),
    /// The answers, each change once.
    Answers(Format<'a>, Option<Value>),
    Nothing,
}

impl<'a> Board<'a> {
    pub(super) fn new(format: Format<'a>) -> Self {
        match format {
            _ if format.is_lines() => Self::Answers(format, None),
            _ if !format.is_table() => Self::Nothing,
            _ if out::is_terminal() => {
                let all = MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::stdout());
                let head = all.add(ProgressBar::new(0));
                if let Ok(style) = ProgressStyle::with_template("{msg}") {
                    head.set_style(style);
                }
                Self::Bars { all, head, waves: Vec::new() }
            }
            _ => Self::Lines(None),
        }
    }

    pub(super) fn show(&mut self, status: &Value) -> Result<()> {
        match self {
            Self::Nothing => Ok(()),
            Self::Answers(format, last) => {
                if last.as_ref() != Some(status) {
                    output::made(*format, status)?;
                    *last = Some(status.clone());
                }
                Ok(())
            }
            Self::Lines(last) => {
                let line = line(status);
                if last.as_ref() != Some(&line) {
                    out::line(&line)?;
                    *last = Some(line);
                }
                Ok(())
            }
            Self::Bars { all, head, waves } => {
                head.set_message(line(status).replace('\t', "  "));
                bars(all, waves, status);
                Ok(())
            }
        }
    }

    /// Leaves the last state on the terminal.
    pub(super) fn end(&self) {
        if let Self::Bars { head, waves, .. } = self {
            waves.iter().chain([head]).for_each(ProgressBar::abandon);
        }
    }
}

fn bars(all: &MultiProgress, bars: &mut Vec<ProgressBar>, status: &Value) {
    let rows = status["waves"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (n, row) in rows.iter().take(BARS_MAX).enumerate() {
        let number = |name: &str| row[name].as_u64().unwrap_or_default();
        if bars.len() == n {
            let bar = all.add(ProgressBar::new(number("enrolled")));
            if let Ok(style) = ProgressStyle::with_template("wave {prefix:<3} {bar:32} {pos}/{len}  {msg}") {
                bar.set_style(style);
            }
            bars.push(bar);
        }
        let bar = &bars[n];
        bar.set_length(number("enrolled"));
        bar.set_prefix(number("wave").to_string());
        bar.set_position(
            number("confirmed") + number("failed") + number("expired") + number("cancelled") + number("superseded"),
        );
        bar.set_message(format!(
            "{} confirmed, {} failed, {} at work",
            number("confirmed"),
            number("failed"),
            number("working")
        ));
    }
}

/// Status, wave and counts, separated by tabs.
fn line(status: &Value) -> String {
    let number = |name: &str| status[name].as_u64().unwrap_or_default();
    let waves = status["waves"].as_array().map_or(0, Vec::len);
    let waits: Vec<&str> =
        status["waits_for"].as_array().into_iter().flatten().filter_map(|wait| wait["detail"].as_str()).collect();
    let mut line = format!(
        "{}\twave {} of {waves}\t{} of {} settled\t{} confirmed\t{} failed",
        printable(status["status"].as_str().unwrap_or_default()),
        number("wave"),
        number("settled"),
        number("enrolled"),
        number("confirmed"),
        number("failed"),
    );
    if !waits.is_empty() {
        line.push_str(&format!("\twaits for {}", printable(&waits.join("; "))));
    }
    line
}
