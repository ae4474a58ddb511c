//! `waybill login`, `logout` and `context`: which services there are, and who one is there.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};

use crate::config::{self, Config, Context};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::fields;
use crate::flags;
use crate::http::{Client, Request};
use crate::out;
use crate::output::{self, Format, Table};
use crate::target::{Target, claims, given};

/// Name of a context if none is given.
const DEFAULT: &str = "default";
/// Life of a token of development mode, in seconds.
const DEV_TOKEN_SECONDS: u32 = 86_400;

pub(crate) fn login_command() -> Command {
    let dev = Arg::new("dev").long("dev").action(ArgAction::SetTrue).conflicts_with("token-file");
    let ca = Arg::new("ca").long("ca").value_name("FILE").value_parser(value_parser!(PathBuf));
    let command = Command::new("login")
        .about("Keep a token for a service, in a context")
        .long_about(
            "Keep a token for a service, in a context of the configuration, which then is the current one.\n\nThe token is an API key (wbk_…) or a bearer token of your issuer. It is read from --token-file, from WAYBILL_TOKEN, or asked for. It is tried before it is kept.",
        )
        .arg(dev.help("Get a token of a service in development mode"))
        .arg(Arg::new("user").long("user").value_name("NAME").requires("dev").help("User of the development token [default: the name of the user here]"))
        .arg(
            Arg::new("role").long("role").value_name("ROLE").action(ArgAction::Append).requires("dev")
                .help("Role of the development token; repeatable [default: admin]"),
        )
        .arg(Arg::new("token-file").long("token-file").value_name("FILE").help("File with the token; - is standard input"))
        .arg(ca.help("PEM file of the CA of the service's certificate, instead of the system's"));
    flags::common(command)
}

pub(crate) fn logout_command() -> Command {
    flags::common(Command::new("logout").about("Forget the token of a context"))
}

pub(crate) fn context_command() -> Command {
    let name = Arg::new("name").value_name("NAME").required(true);
    Command::new("context")
        .about("Contexts: services and who one is there")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(flags::common(Command::new("list").about("List the contexts")))
        .subcommand(flags::common(Command::new("use").about("Make a context the current one").arg(name.clone())))
        .subcommand(flags::common(Command::new("delete").about("Delete a context and its token").arg(name)))
}

pub(crate) async fn login(matches: &ArgMatches) -> Result<()> {
    let path = config::path()?;
    let mut config = Config::read(&path)?;
    let name = chosen(matches, &config).unwrap_or_else(|| DEFAULT.to_owned());
    let mut context = config.contexts.get(&name).cloned().unwrap_or_default();
    context.url = given(matches, "url", "WAYBILL_URL").unwrap_or(context.url);
    context.tenant = given(matches, "tenant", "WAYBILL_TENANT").or(context.tenant);
    context.ca = matches.get_one::<PathBuf>("ca").cloned().or(context.ca);
    context.token = None;
    if context.url.is_empty() {
        return Err(Failure::usage("name the service: --url https://waybill.example.com"));
    }
    warn_of_plain_http(&context.url);
    context.token =
        Some(if matches.get_flag("dev") { dev_token(matches, &name, &context).await? } else { given_token(matches)? });
    if let Some(tenant) =
        context.token.as_deref().and_then(claims).as_ref().and_then(|claims| claims["tenant_id"].as_str())
    {
        context.tenant.get_or_insert_with(|| tenant.to_owned());
    }
    let client = Client::new(target(&name, context.clone()))?;
    check(&client).await?;
    config.contexts.insert(name.clone(), context);
    config.current = Some(name.clone());
    config.write(&path)?;
    out::note(format_args!("signed in to {} as context {name}", client.target.context.url));
    Ok(())
}

/// The context that is named, or else the current one.
fn chosen(matches: &ArgMatches, config: &Config) -> Option<String> {
    given(matches, "context", "WAYBILL_CONTEXT").or_else(|| config.current.clone())
}

fn target(name: &str, context: Context) -> Target {
    Target { name: name.to_owned(), context, tenant_of_token: None }
}

/// Whether the service takes the token; a token that may read no devices is one, too.
pub(crate) async fn check(client: &Client) -> Result<()> {
    let root = crate::plain::root(crate::description::Base::Tenant, client.target.context.tenant.as_deref());
    match client.send(&Request::get(format!("{root}/devices?limit=1"))).await {
        Err(failure) if failure.status == Some(403) && !failure.sentence.contains("tenant") => Ok(()),
        done => done.map(|_| ()),
    }
}

async fn dev_token(matches: &ArgMatches, name: &str, context: &Context) -> Result<String> {
    let user = matches.get_one::<String>("user").cloned().or_else(|| std::env::var("USER").ok());
    let roles: Vec<&String> = matches.get_many::<String>("role").into_iter().flatten().collect();
    let mut wanted = json!({
        "user_id": user.filter(|user| !user.is_empty()).unwrap_or_else(|| "operator".to_owned()),
        "kind": "person",
        "expires_in": DEV_TOKEN_SECONDS,
        "roles": if roles.is_empty() { json!(["admin"]) } else { json!(roles) },
    });
    if let Some(tenant) = &context.tenant {
        wanted["tenant_id"] = json!(tenant);
    }
    let client = Client::new(target(name, context.clone()))?;
    let request = Request { key: None, ..Request::change("POST", "/api/v1/auth/dev-token", wanted) };
    let answer = client.send(&request).await;
    let answer = answer.map_err(|failure| match failure.status {
        Some(404) => {
            Failure::new(Exit::NotAllowed, "the service isn't in development mode: log in with an API key or a token")
        }
        _ => failure,
    })?;
    answer.json()?["token"].as_str().map(str::to_owned).ok_or_else(|| Failure::here("the service gave no token"))
}

fn given_token(matches: &ArgMatches) -> Result<String> {
    let text = match matches.get_one::<String>("token-file") {
        Some(file) => fields::file_text(file)?,
        None => match std::env::var("WAYBILL_TOKEN") {
            Ok(token) if !token.is_empty() => token,
            _ if matches.get_flag("no-input") || !out::can_ask() => {
                return Err(Failure::usage(
                    "give the token: --token-file FILE, or WAYBILL_TOKEN; or --dev in development",
                ));
            }
            _ => {
                out::note("Token or API key (it isn't shown):");
                terminal::Term::stderr()
                    .read_secure_line()
                    .map_err(|error| Failure::usage(format!("no token was read: {error}")))?
            }
        },
    };
    let token = text.trim();
    if token.is_empty() { Err(Failure::usage("the token is empty")) } else { Ok(token.to_owned()) }
}

fn warn_of_plain_http(url: &str) {
    let is_here = ["http://127.", "http://localhost", "http://[::1]"].iter().any(|here| url.starts_with(here));
    if url.starts_with("http://") && !is_here {
        out::note("waybill: the token goes over HTTP, where others can read it: use https://");
    }
}

pub(crate) fn logout(matches: &ArgMatches) -> Result<()> {
    let (path, mut config) = (config::path()?, Config::read(&config::path()?)?);
    let name = chosen(matches, &config);
    let name = name.ok_or_else(|| Failure::usage("there is no context"))?;
    let context = config.contexts.get_mut(&name).ok_or_else(|| no_context(&name))?;
    context.token = None;
    config.write(&path)?;
    out::note(format_args!("the token of context {name} is forgotten; it stays valid at the service until it ends"));
    Ok(())
}

pub(crate) fn context(matches: &ArgMatches) -> Result<()> {
    let (path, mut config) = (config::path()?, Config::read(&config::path()?)?);
    match matches.subcommand() {
        Some(("use", matches)) => {
            let name = matches.get_one::<String>("name").cloned().unwrap_or_default();
            if !config.contexts.contains_key(&name) {
                return Err(no_context(&name));
            }
            config.current = Some(name);
            config.write(&path)
        }
        Some(("delete", matches)) => {
            let name = matches.get_one::<String>("name").cloned().unwrap_or_default();
            config.contexts.remove(&name).ok_or_else(|| no_context(&name))?;
            config.current = config.current.filter(|current| *current != name);
            config.write(&path)
        }
        Some((_, matches)) => list(matches, &config),
        None => Ok(()),
    }
}

fn list(matches: &ArgMatches, config: &Config) -> Result<()> {
    let rows: Vec<Value> = config.contexts.iter().map(|(name, context)| row(config, name, context)).collect();
    match Format::of(matches) {
        format if format.is_table() => Table::with(&COLUMNS).print(&rows),
        Format::Name => rows.iter().try_for_each(|row| out::line(row["name"].as_str().unwrap_or_default())),
        format => output::made(format, &Value::Array(rows)),
    }
}

const COLUMNS: [&str; 5] = ["current", "name", "url", "tenant", "token"];

/// A context without its token.
fn row(config: &Config, name: &str, context: &Context) -> Value {
    let token = match context.token.as_deref() {
        None => "none",
        Some(token) if token.starts_with("wbk_") => "API key",
        Some(_) => "bearer token",
    };
    let is_current = config.current.as_deref() == Some(name);
    json!({"current": if is_current { "*" } else { "" }, "name": name, "url": context.url, "tenant": context.tenant, "token": token})
}

fn no_context(name: &str) -> Failure {
    Failure::new(Exit::NotFound, format!("there is no context {name:?}: `waybill context list` has them"))
}
