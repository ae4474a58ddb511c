//! How endpoints send commands. The envelope of a command has the caller's reason, idempotency key and headers.
//!
//! `Idempotency-Key` makes the command's id a function of tenant, caller, route and key, so the same request sent again is the same command
//! and gives the first outcome.

use std::sync::Arc;

use axum::extract::MatchedPath;
use axum::http::StatusCode;
use axum::http::request::Parts;
use domain::ids::name_based_uuid;
use domain::{CommandId, CommandOf, Decider, Key, Sealed};
use event_store::{Cause, CommandHash, Committed, ExpectedVersion, Loaded, Origin, PositionToken, Request, Times};
use runtime::clock;
use trust::TokenHasher;
use utoipa::IntoParams;
use uuid::Uuid;

use super::command_headers;
use super::observe::SentCommand;
use super::problem::Problem;
use super::query;
use super::reply::Reply;
use super::request_digest::digest;
use crate::auth::Caller;
use crate::state::App;

/// Warning for a command without a reason that changes other people's work.
pub(crate) const NO_REASON: &str =
    "no reason is given: this command changes other people's work, and they may look for the reason in the history";
/// Longest reason, in characters.
const REASON_MAX_CHARS: usize = 1_000;
/// Parameters that a command takes.
const PARAMETERS: [&str; 2] = ["dry_run", "reason"];

/// Headers and parameters that every command takes.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes what `Envelope` reads by hand")]
pub(crate) struct CommandHeaders {
    /// The same key with the same request (path, body, reason) gives the first outcome; with another body 422. A request that was refused
    /// or changed nothing stores nothing: sent again, with any body, it is handled as a new request.
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
    /// Correlates everything that follows in the audit. The id of a campaign's start is on everything that the campaign does, and the id of
    /// an update request on everything that happens to the update. Without this header a command on a campaign or an update uses the id of
    /// that campaign or update, and any other command gets a new one. With this header a later command, such as a pause, has the given id.
    /// What the campaign or the update does afterwards has its own id again.
    #[param(rename = "X-Correlation-Id")]
    correlation_id: Option<Uuid>,
    /// The resource's `ETag`; 412 when it has changed since.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
}

/// The envelope of a command.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    route: String,
    key: Option<String>,
    /// The id of the request's command if there is no idempotency key.
    fresh_id: Uuid,
    correlation_id: Option<Uuid>,
    /// Correlation id of auxiliary commands if the request gives none: the id of the campaign or update that they are for.
    goes_on_with: Option<Uuid>,
    /// Set to the id of the command that the request became.
    sent: SentCommand,
    traceparent: Option<String>,
    /// Versions that the aggregate may have.
    if_match: Option<ExpectedVersion>,
    reason: Option<String>,
    /// Digest of the request.
    request_digest: Option<CommandHash>,
    pub(crate) dry_run: bool,
}

/// A command that was not refused.
pub(crate) struct Done<A: Decider> {
    pub(crate) aggregate: Arc<A>,
    /// How the aggregate began; none if it has no events.
    pub(crate) origin: Option<Arc<Origin>>,
    /// When its events that carry a time were last decided.
    pub(crate) times: Times,
    pub(crate) events: Vec<A::Event>,
    pub(crate) version: u64,
    pub(crate) position: PositionToken,
    pub(crate) dry_run: bool,
    /// It changes other people's work and gives no reason.
    pub(crate) lacks_reason: bool,
}

impl<A: Decider> Done<A> {
    /// 200 with the resource.
    pub(crate) fn reply<T>(&self, resource: T) -> Reply<T> {
        let reply = Reply::ok(resource, self.position).version(self.version).dry_run(self.dry_run);
        if self.lacks_reason { reply.warning(NO_REASON) } else { reply }
    }

    /// 201 with the resource and its path, or 200 if it existed already, or on a dry run.
    pub(crate) fn reply_created<T>(&self, resource: T, location: String) -> Reply<T> {
        let reply = self.reply(resource);
        if self.created_status() == StatusCode::CREATED { reply.created(location) } else { reply }
    }

    pub(crate) fn created_status(&self) -> StatusCode {
        if self.dry_run || self.events.is_empty() { StatusCode::OK } else { StatusCode::CREATED }
    }
}

impl Envelope {
    /// Of a request's head. Handlers get it by [`CommandRequest`](super::CommandRequest), which adds the digest of the body.
    pub(crate) fn of(parts: &Parts) -> Result<Self, Problem> {
        let matched = parts.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned());
        let route = matched.unwrap_or_else(|| parts.uri.path().to_owned());
        let pairs = query::pairs(parts)?;
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !PARAMETERS.contains(&name.as_str())) {
            let known = PARAMETERS.join(" and ");
            return Err(query::refused(name, &format!("a command has no such parameter; known are {known}")));
        }
        let find = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let dry_run = match find("dry_run") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(query::refused("dry_run", "true or false")),
        };
        Ok(Self {
            route: format!("{} {}", parts.method, without_tenant(&route)),
            key: command_headers::idempotency_key(&parts.headers)?,
            fresh_id: clock::new_id(),
            correlation_id: command_headers::correlation_id(&parts.headers)?,
            goes_on_with: None,
            sent: parts.extensions.get::<SentCommand>().cloned().unwrap_or_default(),
            traceparent: command_headers::traceparent(&parts.headers),
            if_match: command_headers::if_match(&parts.headers),
            reason: find("reason").map(str::to_owned),
            request_digest: None,
            dry_run,
        })
    }

    pub(crate) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// The envelope of one item of several.
    #[must_use]
    pub(crate) fn item(&self, index: usize) -> Self {
        let key = self.key.as_ref().map(|key| format!("{key}#{index}"));
        Self { key, fresh_id: clock::new_id(), if_match: None, ..self.clone() }
    }

    /// The envelope of the command on one of several resources, which may be selected again when the request is repeated.
    #[must_use]
    pub(crate) fn item_named(&self, name: &str) -> Self {
        let key = self.key.as_ref().map(|key| format!("{key}#{name}"));
        Self { key, fresh_id: clock::new_id(), if_match: None, ..self.clone() }
    }

    pub(crate) fn has_if_match(&self) -> bool {
        self.if_match.is_some()
    }

    /// The same request, only for the aggregate as it is at this version, if `If-Match` admits it.
    #[must_use]
    pub(crate) fn at_version(&self, version: u64) -> Self {
        let versions = match &self.if_match {
            Some(ExpectedVersion::OneOf(wanted)) if !wanted.contains(&version) => vec![],
            Some(ExpectedVersion::OneOf(_) | ExpectedVersion::Existing) | None => vec![version],
        };
        Self { if_match: Some(ExpectedVersion::OneOf(versions)), ..self.clone() }
    }

    /// The same request, for several resources: their events have one correlation id. `If-Match` would apply to none of them.
    pub(crate) fn of_many(&self, caller: &Caller) -> Result<(Self, Uuid), Problem> {
        if self.if_match.is_some() {
            return Err(Problem::bad_request("If-Match can't be used for many devices"));
        }
        let correlation_id = self.correlation_id.unwrap_or(self.command_id(caller).0);
        Ok((Self { correlation_id: Some(correlation_id), ..self.clone() }, correlation_id))
    }

    /// The reason of the body or of the query, checked.
    pub(crate) fn reason_with(&self, body: Option<String>) -> Result<Option<String>, Problem> {
        one_reason(body, self.reason.clone())
    }

    /// The same request; its auxiliary commands use this correlation id.
    #[must_use]
    pub(crate) fn going_on_with(&self, correlation_id: Option<Uuid>) -> Self {
        Self { goes_on_with: correlation_id, ..self.clone() }
    }

    /// With the digest of a body that was sent to a path.
    pub(crate) fn digesting(self, path: &str, body: &[u8]) -> Result<Self, Problem> {
        let digest = digest(path, body, self.reason.as_deref())?;
        Ok(Self { request_digest: Some(digest), ..self })
    }

    /// Of a body that has secrets: its digest is kept with the event, and short secrets could be guessed from it, so a keyed hash of the
    /// digest takes its place.
    pub(crate) fn with_secrets(self, hasher: &TokenHasher) -> Result<Self, Problem> {
        let keyed = self.request_digest.map(|digest| CommandHash::of(&hasher.hash_request(&digest.to_hex())));
        Ok(Self { request_digest: keyed.transpose().map_err(Problem::internal)?, ..self })
    }

    /// The digest of the request as text.
    pub(crate) fn digest_hex(&self) -> String {
        self.request_digest.map(CommandHash::to_hex).unwrap_or_default()
    }

    /// The reason in the query.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The same request as a dry run.
    #[must_use]
    pub(crate) fn as_dry_run(&self) -> Self {
        Self { dry_run: true, ..self.clone() }
    }

    /// The id of what a command creates: the same for the same key.
    pub(crate) fn new_id(&self, caller: &Caller) -> Uuid {
        match &self.key {
            Some(key) => name_based_uuid(&["created", caller.tenant.as_str(), caller.actor.as_str(), &self.route, key]),
            None => clock::new_id(),
        }
    }

    /// Whether an aggregate has stored this command's id, from this request or another one with the same key.
    pub(crate) fn is_stored<A: Decider>(&self, caller: &Caller, loaded: &Loaded<A>) -> bool {
        self.key.is_some() && loaded.recent.find(self.command_id(caller)).is_some()
    }

    /// The id of the request's command: the same for the same key.
    pub(crate) fn command_id(&self, caller: &Caller) -> CommandId {
        match &self.key {
            Some(key) => CommandId::derive(&["http", caller.tenant.as_str(), caller.actor.as_str(), &self.route, key]),
            None => CommandId(self.fresh_id),
        }
    }

    /// A request to an auxiliary aggregate, always with its own command id.
    pub(crate) fn bare_request<C>(&self, caller: &Caller, command: C) -> Request<C> {
        let main = self.command_id(caller).0;
        Request {
            correlation_id: self.correlation_id.or(self.goes_on_with).or(Some(main)),
            cause: Cause::Sender,
            traceparent: self.traceparent.clone(),
            ..Request::new(CommandId(clock::new_id()), caller.actor.clone(), command)
        }
    }

    fn request<C>(&self, caller: &Caller, command: C, reason: Option<String>) -> Result<Request<C>, Problem> {
        let reason = one_reason(reason, self.reason.clone())?;
        Ok(Request {
            correlation_id: self.correlation_id,
            cause: Cause::Sender,
            reason: reason.map(Sealed::Plain),
            traceparent: self.traceparent.clone(),
            expected_version: self.if_match.clone(),
            request_digest: self.request_digest,
            ..Request::new(self.command_id(caller), caller.actor.clone(), command)
        })
    }
}

impl App {
    /// Sends a caller's command. On a dry run only checks it.
    pub(crate) async fn command<A: Decider>(
        &self,
        caller: &Caller,
        envelope: &Envelope,
        key: &Key<A>,
        command: CommandOf<A>,
        reason: Option<String>,
    ) -> Result<Done<A>, Problem> {
        let request = envelope.request(caller, command, reason)?;
        envelope.sent.is(request.id.0);
        let reason = request.reason.as_ref().and_then(|reason| reason.plain());
        let lacks_reason = A::wants_reason(&request.command) && reason.is_none_or(|reason| reason.trim().is_empty());
        if lacks_reason && self.tenants.rules(key.tenant()).await?.require_reason {
            return Err(Problem::invalid("reason", "is needed: the rules of the tenant ask for one"));
        }
        if envelope.dry_run {
            let checked = self.store.check(key, &request).await?;
            let position = self.token(checked.position).await?;
            let (aggregate, origin, times) = (Arc::new(checked.aggregate), checked.origin, checked.times);
            let (events, version) = (checked.events, checked.version);
            return Ok(Done { aggregate, origin, times, events, version, position, dry_run: true, lacks_reason });
        }
        let done = self.done(caller, self.store.execute(key, request).await?).await?;
        Ok(Done { lacks_reason, ..done })
    }

    /// The outcome of this request, if it was sent earlier. It is valid even if the state has changed since.
    pub(crate) async fn repeated<A: Decider>(
        &self,
        caller: &Caller,
        envelope: &Envelope,
        key: &Key<A>,
    ) -> Result<Option<Done<A>>, Problem> {
        self.repeated_or(caller, envelope, key, None).await
    }

    /// The same for commands whose digest earlier versions computed differently.
    pub(crate) async fn repeated_or<A: Decider>(
        &self,
        caller: &Caller,
        envelope: &Envelope,
        key: &Key<A>,
        earlier: Option<CommandHash>,
    ) -> Result<Option<Done<A>>, Problem> {
        let Some(digest) = envelope.request_digest.filter(|_| envelope.has_key() && !envelope.dry_run) else {
            return Ok(None);
        };
        let digests: Vec<CommandHash> = [Some(digest), earlier].into_iter().flatten().collect();
        match self.store.repeated(key, envelope.command_id(caller), &digests).await? {
            Some(committed) => self.done(caller, committed).await.map(Some),
            None => Ok(None),
        }
    }

    async fn done<A: Decider>(&self, caller: &Caller, committed: Committed<A>) -> Result<Done<A>, Problem> {
        self.own_writes.remember(caller, committed.position);
        let position = self.token(committed.position).await?;
        let Committed { aggregate, origin, times, events, version, .. } = committed;
        Ok(Done { aggregate, origin, times, events, version, position, dry_run: false, lacks_reason: false })
    }
}

/// The reason may be in the body or in the query. If it is in both, they must be equal.
fn one_reason(body: Option<String>, query: Option<String>) -> Result<Option<String>, Problem> {
    let reason = match (body, query) {
        (Some(body), Some(query)) if body != query => return Err(Problem::invalid("reason", "differs from ?reason=")),
        (body, query) => body.or(query),
    };
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_MAX_CHARS) {
        return Err(Problem::invalid("reason", format!("longer than {REASON_MAX_CHARS} characters")));
    }
    if reason.as_ref().is_some_and(|reason| reason.contains('\0')) {
        return Err(Problem::invalid("reason", "has a NUL character"));
    }
    Ok(reason)
}

/// `/api/v1/tenants/{tenant_id}/devices` and `/api/v1/devices` are one route.
pub(crate) fn without_tenant(route: &str) -> &str {
    let route = route.strip_prefix("/api/v1").unwrap_or(route);
    route.strip_prefix("/tenants/{tenant_id}").unwrap_or(route)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Envelope {
        pub(crate) fn with_if_match(tag: Option<&str>) -> Self {
            let request = axum::http::Request::put("/x");
            let request = match tag {
                Some(tag) => request.header("If-Match", tag),
                None => request,
            };
            let (parts, ()) = request.body(()).unwrap().into_parts();
            Self::of(&parts).unwrap()
        }
    }

    #[test]
    fn the_twin_of_a_route_is_the_same_route() {
        assert_eq!(without_tenant("/api/v1/tenants/{tenant_id}/devices/{device_id}"), "/devices/{device_id}");
        assert_eq!(without_tenant("/api/v1/devices"), "/devices");
    }

    #[test]
    fn a_command_for_one_version_obeys_if_match_too() {
        let at_3 = |tag: Option<&str>| Envelope::with_if_match(tag).at_version(3).if_match;
        let only = |versions: &[u64]| Some(ExpectedVersion::OneOf(versions.to_vec()));
        for tag in [None, Some("*"), Some("\"3\""), Some("\"2\", \"3\"")] {
            assert_eq!(at_3(tag), only(&[3]), "{tag:?}");
        }
        assert_eq!(at_3(Some("\"2\"")), only(&[]));
    }
}
