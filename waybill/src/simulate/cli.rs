//! `waybill simulate`: a fleet from the command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use runtime::lifecycle::Tasks;
use tokio::time::{Instant, MissedTickBehavior};

use super::behaviour::Mix;
use super::fleet::{DeviceSpec, Fleet, FleetOptions, FleetStatus};
use super::known::Server;
use super::login::{Hidden, Login};
use super::pace::Pace;
use super::register::{register, registration_token, revoke_credentials};
use crate::http_client::HttpClient;
use crate::out;

/// Interval of status lines.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// Runs a fleet of simulated devices until Ctrl-C, then prints one JSON object.
#[derive(Debug, Clone, Parser)]
pub struct Args {
    /// Number of devices
    #[arg(long, default_value = "100")]
    pub devices: NonZeroUsize,
    /// MQTT broker; mqtts://HOST:PORT for TLS
    #[arg(long, default_value = "127.0.0.1:1883", value_name = "HOST:PORT")]
    pub mqtt: String,
    /// CA that the certificates of broker, API and downloads must come from, PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Registration token, for which each device gets a credential of its own from --server; --register gets a token by itself
    #[arg(long, env = "WAYBILL_REGISTRATION_TOKEN", hide_env_values = true, conflicts_with = "mqtt_user")]
    pub registration_token: Option<String>,
    /// MQTT user name of all devices
    #[arg(long, requires = "mqtt_password")]
    pub mqtt_user: Option<String>,
    /// MQTT password
    #[arg(long, env = "WAYBILL_SIMULATE_MQTT_PASSWORD", hide_env_values = true)]
    pub mqtt_password: Option<String>,
    /// Tenant of the devices
    #[arg(long, default_value = "default")]
    pub tenant: String,
    /// Device ids are this and a number of five digits or more, such as sim-00001
    #[arg(long, default_value = "sim-")]
    pub prefix: String,
    /// Number of the first device
    #[arg(long, default_value_t = 1)]
    pub first: usize,
    /// Device model
    #[arg(long, default_value = "sim-model")]
    pub model: String,
    /// Firmware version the devices run at first
    #[arg(long, default_value = "1.0.0")]
    pub version: String,
    /// Decides which devices misbehave
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[command(flatten)]
    pub mix: Mix,
    /// Scheme, host and port of downloads, in place of those in links
    #[arg(long, value_name = "URL")]
    pub http_base: Option<String>,
    /// The server's REST API: where devices register themselves, and where it is checked whether they are known
    #[arg(long, default_value = "http://127.0.0.1:8240", value_name = "URL", env = "WAYBILL_API_URL")]
    pub server: String,
    /// Register the devices first, with --server or with the server at this address, and give each a new credential; those from before are
    /// revoked. At most 100,000 devices
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    pub register: Option<String>,
    /// Bearer token for --server, and of an administrator for --register; a server in development mode issues one
    #[arg(long, env = "WAYBILL_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Stretch all work by this factor, 0 to 1,000
    #[arg(long, default_value_t = 1.0, value_parser = parse_pace)]
    pub pace: f64,
    /// Milliseconds a new version is on trial
    #[arg(long, default_value_t = 0)]
    pub trial_ms: u64,
    /// Milliseconds before installing in which a cancel is still accepted (up to 10,000)
    #[arg(long)]
    pub cancel_window_ms: Option<u64>,
    /// Milliseconds an install takes
    #[arg(long)]
    pub install_ms: Option<u64>,
    /// Milliseconds a reboot takes
    #[arg(long)]
    pub reboot_ms: Option<u64>,
    /// Milliseconds a whole download takes at least
    #[arg(long)]
    pub download_ms: Option<u64>,
    /// Milliseconds a late device takes to answer
    #[arg(long)]
    pub late_ms: Option<u64>,
    /// Connections that may be under way at once
    #[arg(long, default_value_t = 128)]
    pub max_connecting: usize,
    /// Downloads that may run at once
    #[arg(long, default_value_t = 256)]
    pub max_downloads: usize,
    /// Stop after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub for_seconds: Option<u64>,
}

/// Slowest pace.
const PACE_MAX: f64 = 1_000.0;

fn parse_pace(text: &str) -> Result<f64, String> {
    let pace = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (0.0..=PACE_MAX).contains(&pace) { Ok(pace) } else { Err(format!("0 to {PACE_MAX}")) }
}

impl Args {
    /// The devices for these arguments.
    pub fn specs(&self) -> Vec<DeviceSpec> {
        (self.first..self.first.saturating_add(self.devices.get()))
            .map(|number| {
                let device_id = format!("{}{number:05}", self.prefix);
                DeviceSpec {
                    behaviour: self.mix.behaviour(self.seed, &device_id),
                    device_id,
                    device_model: self.model.clone(),
                    firmware_version: self.version.clone(),
                }
            })
            .collect()
    }

    fn pace(&self) -> Pace {
        let mut pace = Pace { trial: Duration::from_millis(self.trial_ms), ..Pace::default() };
        let given = [
            (&mut pace.cancel_window, self.cancel_window_ms),
            (&mut pace.install, self.install_ms),
            (&mut pace.reboot, self.reboot_ms),
            (&mut pace.download, self.download_ms),
            (&mut pace.late, self.late_ms),
        ];
        for (duration, milliseconds) in given {
            if let Some(milliseconds) = milliseconds {
                *duration = Duration::from_millis(milliseconds);
            }
        }
        pace.scaled(self.pace)
    }

    /// How the devices log in, unless --register finds that out.
    fn login(&self) -> Login {
        match (&self.mqtt_user, &self.mqtt_password, &self.registration_token) {
            (Some(user), Some(password), _) => Login::Shared { user: user.clone(), password: Hidden(password.clone()) },
            (_, _, Some(token)) => own(self.api(), token.clone()),
            _ => Login::Anonymous,
        }
    }

    /// The server's REST API.
    fn api(&self) -> &str {
        self.register.as_deref().filter(|base| !base.is_empty()).unwrap_or(&self.server)
    }

    fn options(&self) -> anyhow::Result<FleetOptions> {
        if let Some(problem) = self.mix.problem() {
            bail!(problem);
        }
        let (mqtt_tls, place) = match self.mqtt.split_once("://") {
            Some(("mqtts", place)) => (true, place),
            Some(("mqtt", place)) => (false, place),
            Some((scheme, _)) => bail!("--mqtt begins with {scheme}://, must begin with mqtts:// or mqtt://"),
            None => (false, self.mqtt.as_str()),
        };
        let (host, port) = place.rsplit_once(':').with_context(|| format!("--mqtt {} is not HOST:PORT", self.mqtt))?;
        Ok(FleetOptions {
            mqtt_host: host.trim_matches(['[', ']']).to_owned(),
            mqtt_port: port.parse().with_context(|| format!("--mqtt {}: {port} is not a port", self.mqtt))?,
            mqtt_tls,
            ca: self.ca.clone(),
            login: self.login(),
            tenant: self.tenant.clone(),
            devices: self.specs(),
            pace: self.pace(),
            seed: self.seed,
            http_base: self.http_base.clone(),
            max_connecting: self.max_connecting.max(1),
            max_downloads: self.max_downloads.max(1),
            ..FleetOptions::default()
        })
    }
}

/// Runs the fleet: a status line every second on stderr, the totals as JSON on stdout at the end.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let mut options = args.options()?;
    let tasks = Tasks::new();
    if args.register.is_some() {
        options.login = registered(&args, &options).await?;
    } else {
        check_registration(&args, &options.devices, &tasks).await;
    }
    let fleet = Fleet::start(options)?;
    watch(&fleet, args.for_seconds.map(Duration::from_secs)).await;
    tasks.token().cancel();
    let status = fleet.status();
    fleet.stop().await;
    out::tell(serde_json::to_string(&status)?);
    Ok(())
}

/// Checks in the background whether the devices are registered.
async fn check_registration(args: &Args, devices: &[DeviceSpec], tasks: &Tasks) {
    // Devices that have a registration token register themselves.
    if args.registration_token.is_some() {
        return;
    }
    let server = async {
        let http = HttpClient::trusting(args.ca.as_deref())?;
        Server::new(http, args.api(), args.token.clone(), &args.tenant).await
    };
    match server.await {
        Ok(server) => drop(tasks.spawn("registration", server.watch(devices.to_vec(), tasks.token().clone()))),
        Err(error) => out::note(format_args!(
            "It can't be checked whether the devices are registered: {error:#}. Set --server to the address of the API."
        )),
    }
}

/// Registers the devices, and returns how they log in: each with a credential of its own, unless another way is given.
async fn registered(args: &Args, options: &FleetOptions) -> anyhow::Result<Login> {
    let server =
        Server::new(HttpClient::trusting(args.ca.as_deref())?, args.api(), args.token.clone(), &args.tenant).await?;
    let login = match &options.login {
        Login::Anonymous => {
            let token =
                registration_token(&server.http, &server.base, server.token.as_deref(), options.devices.len()).await?;
            own(&server.base, token)
        }
        given => given.clone(),
    };
    let outcome = register(&server.http, &server.base, server.token.as_deref(), &options.devices).await?;
    out::note(format_args!("registered {} devices, {} refused", outcome.succeeded, outcome.failed));
    if let Some(error) = outcome.first_error {
        out::note(format_args!("the first one refused: {error}"));
    }
    if let Login::Own { .. } = login {
        revoke_credentials(&server.http, &server.base, server.token.as_deref(), &options.devices).await?;
    }
    Ok(login)
}

fn own(server: &str, registration_token: String) -> Login {
    Login::Own { server: server.to_owned(), registration_token: Hidden(registration_token) }
}

async fn watch(fleet: &Fleet, at_most: Option<Duration>) {
    let began = Instant::now();
    let mut ticks = tokio::time::interval(STATUS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let over = async {
        match at_most {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => return,
            _ = tokio::signal::ctrl_c() => return,
            _ = ticks.tick() => out::note(line(began.elapsed(), &fleet.status())),
        }
    }
}

fn line(elapsed: Duration, status: &FleetStatus) -> String {
    let list = |counts: Vec<String>| counts.join(" ");
    format!(
        "{:>5} s  connected {}/{}  working {} (most {})  installs {}  {} MB  [{}]  [{}]",
        elapsed.as_secs(),
        status.connected,
        status.devices,
        status.working,
        status.working_peak,
        status.installs,
        status.downloaded_bytes / 1_000_000,
        list(status.stages.iter().map(|(stage, count)| format!("{stage} {count}")).collect()),
        list(status.versions.iter().map(|(version, count)| format!("{version}: {count}")).collect()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_make_a_fleet() {
        let args = Args::parse_from([
            "simulate",
            "--devices",
            "3",
            "--prefix",
            "d-",
            "--fail",
            "100",
            "--install-ms",
            "7",
            "--pace",
            "2",
        ]);
        let options = args.options().unwrap();
        assert_eq!((options.mqtt_host.as_str(), options.mqtt_port), ("127.0.0.1", 1883));
        assert_eq!(options.pace.install, Duration::from_millis(14));
        let ids: Vec<_> = options.devices.iter().map(|device| device.device_id.as_str()).collect();
        assert_eq!(ids, ["d-00001", "d-00002", "d-00003"]);
        assert!(options.devices.iter().all(|device| device.behaviour.fail));
    }

    #[test]
    fn a_broker_with_tls_has_a_scheme() {
        let args = Args::parse_from(["simulate", "--mqtt", "mqtts://[::1]:8883", "--ca", "ca.pem"]);
        let options = args.options().unwrap();
        assert_eq!((options.mqtt_host.as_str(), options.mqtt_port, options.mqtt_tls), ("::1", 8883, true));
    }

    #[test]
    fn an_address_or_a_percentage_that_cannot_be_is_refused() {
        for wrong in [["--mqtt", "nowhere"], ["--mqtt", "host:x"], ["--mqtt", "ws://host:1"], ["--fail", "101"]] {
            let args = Args::parse_from([&["simulate"], &wrong[..]].concat());
            assert!(args.options().is_err(), "{wrong:?}");
        }
    }
}
