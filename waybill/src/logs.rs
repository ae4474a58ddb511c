//! Structured logs on standard error.

use std::io::IsTerminal;
use std::str::FromStr;

use clap::ValueEnum;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::traces::Traces;

/// Default level of serving processes.
pub const SERVING: &str = "info";
/// Default level of commands that print their result.
pub const PRINTING: &str = "warn";
/// Libraries that log too much at the level of our own code.
const LIBRARIES: &str = "async_nats=warn,sqlx=warn,rumqttc=warn,hyper=warn,object_store=warn,reqwest=warn,h2=warn";
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Settings of a process's log.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LogArgs {
    /// Level of the log on standard error: error, warn, info, debug, trace or off; or a filter such as info,mqtt_bridge=debug [default:
    /// info; of commands that print something: warn]
    #[arg(long, global = true, value_name = "LEVEL", env = "WAYBILL_LOG")]
    pub log_level: Option<LogLevel>,
    /// Format of the log
    #[arg(long, global = true, value_enum, default_value = "text", env = "WAYBILL_LOG_FORMAT")]
    pub log_format: LogFormat,
}

/// A level or a filter, as `tracing` parses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLevel(String);

impl LogLevel {
    fn of(level: &str) -> Self {
        Self(format!("{level},{LIBRARIES}"))
    }

    fn filter(&self) -> EnvFilter {
        EnvFilter::new(&self.0)
    }
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let level = text.to_ascii_lowercase();
        if LEVELS.contains(&level.as_str()) {
            return Ok(Self::of(&level));
        }
        // `tracing` takes a single unknown word as a module name, and would log nothing.
        let is_filter = text.contains(['=', ',']) && EnvFilter::try_new(text).is_ok();
        if !is_filter {
            return Err(format!("one of {}; or a filter such as info,mqtt_bridge=debug", LEVELS.join(", ")));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Installs the logger and the traces. A second call changes nothing.
pub fn install(args: &LogArgs, default_level: &str, traces: Option<&Traces>) {
    let filter = match (&args.log_level, EnvFilter::try_from_default_env()) {
        (Some(level), _) => level.filter(),
        (None, Ok(of_environment)) => of_environment,
        (None, Err(_)) => LogLevel::of(default_level).filter(),
    };
    let format = args.log_format;
    let installed = match traces {
        None => Registry::default().with(filter).with(lines(format)).try_init(),
        Some(traces) => Registry::default().with(lines(format).with_filter(filter)).with(traces.layer()).try_init(),
    };
    if installed.is_err() {
        tracing::debug!("A logger is installed already.");
    }
}

/// The layer that writes lines. Colours only on terminals. A line that can't be written is dropped.
fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let in_colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(in_colour).log_internal_errors(false);
    match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_keeps_libraries_quiet_and_a_filter_is_taken_as_it_is() {
        assert!("DEBUG".parse::<LogLevel>().unwrap().0.starts_with("debug,async_nats=warn"));
        assert_eq!("info,mqtt_bridge=debug".parse::<LogLevel>().unwrap().0, "info,mqtt_bridge=debug");
    }

    #[test]
    fn a_level_that_is_none_is_refused_with_those_there_are() {
        for wrong in ["verbose", "", "5", "mqtt_bridge", "mqtt_bridge=loud"] {
            let error = wrong.parse::<LogLevel>().unwrap_err();
            assert!(error.contains("debug") && error.contains("mqtt_bridge=debug"), "{wrong}: {error}");
        }
    }
}
