//! `/feed/consumers`: pull consumers on the public feed, each filtered to the caller's tenant.
//!
//! They are JetStream's own, not events: no other part depends on them, and their positions aren't part of the history.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::TenantId;
use event_store::feed::consumers::{ConsumerError, FILTER_FORM, FeedConsumer, FeedConsumers, FeedFilter, is_name};
use event_store::streams::FEED;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Caller;
use crate::http::problem::ProblemBody;
use crate::http::{Body, Path, Problem};
use crate::state::App;

const NAME_FORM: &str = "1 to 32 lower-case letters, digits and -";

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ConsumerPath {
    #[param(example = "reports")]
    name: String,
}

/// A consumer to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "reports", "filter": "campaign.*"}))]
pub(crate) struct ConsumerRequest {
    /// 1 to 32 lower-case letters, digits and `-`.
    #[schema(example = "reports")]
    name: String,
    /// Which events: `>` for all, `campaign.*`, `*.confirmed`, `update.confirmed`.
    #[serde(default = "everything")]
    #[schema(example = "campaign.*", default = ">")]
    filter: String,
}

fn everything() -> String {
    ">".to_owned()
}

/// A pull consumer on the public feed, and how to read from it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConsumerBody {
    #[schema(example = "reports")]
    name: String,
    /// The JetStream stream.
    #[schema(example = "FEED")]
    stream: &'static str,
    /// The consumer's name in JetStream.
    #[schema(example = "default_reports")]
    consumer: String,
    /// The subjects that it delivers.
    #[schema(example = "feed.default.campaign.*")]
    subject: String,
    created_at: DateTime<Utc>,
    /// Messages that wait to be delivered.
    pending: u64,
    /// Messages that are delivered and not acknowledged; they are delivered again after 30 s.
    ack_pending: u64,
    connect: Connect,
}

/// How to connect to nats-server, and what to request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Connect {
    /// The NATS account.
    #[schema(example = "READERS")]
    account: &'static str,
    /// The tenant. The password is an API key of the tenant, with any role. Consumers that are made later need another login.
    #[schema(example = "default")]
    user: String,
    /// Prefix of the client's inboxes; it may use no others.
    #[schema(example = "_INBOX_default")]
    inbox_prefix: String,
    /// Goes into the client's JetStream context.
    #[schema(example = "waybill")]
    jetstream_domain: &'static str,
    /// The subject of requests for the next messages, for clients without JetStream support.
    #[schema(example = "$JS.waybill.API.CONSUMER.MSG.NEXT.FEED.default_reports")]
    next_subject: String,
}

impl ConsumerBody {
    fn of(tenant: &TenantId, consumer: FeedConsumer) -> Self {
        let connect = Connect {
            account: "READERS",
            user: tenant.to_string(),
            inbox_prefix: format!("_INBOX_{tenant}"),
            jetstream_domain: "waybill",
            next_subject: format!("$JS.waybill.API.CONSUMER.MSG.NEXT.{FEED}.{}", consumer.durable),
        };
        Self {
            name: consumer.name,
            stream: FEED,
            consumer: consumer.durable,
            subject: consumer.subject,
            created_at: consumer.created_at,
            pending: consumer.pending,
            ack_pending: consumer.ack_pending,
            connect,
        }
    }
}

impl From<ConsumerError> for Problem {
    fn from(error: ConsumerError) -> Self {
        let detail = error.to_string();
        match error {
            ConsumerError::Exists => Self::new(StatusCode::CONFLICT, "consumer_exists", detail),
            ConsumerError::TooMany => Self::new(StatusCode::CONFLICT, "too_many_consumers", detail),
            ConsumerError::Store(error) => error.into(),
        }
    }
}

/// The consumers of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConsumerList {
    items: Vec<ConsumerBody>,
}

/// Create a consumer of the public feed
///
/// A durable pull consumer on the JetStream stream FEED with this tenant's events only, from the oldest that is kept (30 days). It stores
/// which messages were acknowledged; several clients may share it. At most 16 in a tenant. A repeated request finds the existing one.
#[utoipa::path(
    post, path = "/feed/consumers", tag = "feed", request_body = ConsumerRequest,
    responses(
        (status = 201, body = ConsumerBody),
        (status = 200, description = "It existed already", body = ConsumerBody),
        (status = 409, description = "A consumer of this name has another filter, or there are 16", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create_consumer(
    State(app): State<App>,
    caller: Caller,
    Body(wanted): Body<ConsumerRequest>,
) -> Result<Response, Problem> {
    if !is_name(&wanted.name) {
        return Err(Problem::invalid("name", NAME_FORM));
    }
    let filter = FeedFilter::parse(&wanted.filter).ok_or_else(|| Problem::invalid("filter", FILTER_FORM))?;
    let (consumer, is_new) = consumers(&app)?.create(&caller.tenant, &wanted.name, &filter).await?;
    let location: [(HeaderName, String); 1] = [(header::LOCATION, format!("/api/v1/feed/consumers/{}", wanted.name))];
    let body = Json(ConsumerBody::of(&caller.tenant, consumer));
    Ok(if is_new { (StatusCode::CREATED, location, body).into_response() } else { body.into_response() })
}

/// List the consumers of the public feed
///
/// By name, at most 16.
#[utoipa::path(get, path = "/feed/consumers", tag = "feed", responses((status = 200, body = ConsumerList)))]
pub(crate) async fn list_consumers(State(app): State<App>, caller: Caller) -> Result<Json<ConsumerList>, Problem> {
    let found = consumers(&app)?.list(&caller.tenant).await?;
    Ok(Json(ConsumerList {
        items: found.into_iter().map(|consumer| ConsumerBody::of(&caller.tenant, consumer)).collect(),
    }))
}

/// Get a consumer of the public feed
#[utoipa::path(
    get, path = "/feed/consumers/{name}", tag = "feed", params(ConsumerPath),
    responses(
        (status = 200, body = ConsumerBody),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_consumer(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<ConsumerPath>,
) -> Result<Json<ConsumerBody>, Problem> {
    let found = match is_name(&path.name) {
        true => consumers(&app)?.get(&caller.tenant, &path.name).await?,
        false => None,
    };
    found.map(|consumer| Json(ConsumerBody::of(&caller.tenant, consumer))).ok_or_else(unknown)
}

/// The deleted consumer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedConsumer {
    name: String,
}

/// Delete a consumer of the public feed
///
/// Its position is deleted; the feed isn't changed.
#[utoipa::path(
    delete, path = "/feed/consumers/{name}", tag = "feed", params(ConsumerPath),
    responses(
        (status = 200, body = DeletedConsumer),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete_consumer(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<ConsumerPath>,
) -> Result<Json<DeletedConsumer>, Problem> {
    let deleted = is_name(&path.name) && consumers(&app)?.delete(&caller.tenant, &path.name).await?;
    if deleted { Ok(Json(DeletedConsumer { name: path.name })) } else { Err(unknown()) }
}

fn unknown() -> Problem {
    Problem::not_found("no such consumer")
}

fn consumers(app: &App) -> Result<&FeedConsumers, Problem> {
    app.feed_consumers.as_ref().ok_or_else(|| Problem::unavailable("event_log_unavailable", "the feed can't be read"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::tests::Api;

    #[tokio::test]
    async fn a_consumer_that_would_get_nothing_is_refused() {
        let api = Api::new();
        for (body, field) in [
            (json!({"name": "a.b"}), "name"),
            (json!({"name": ""}), "name"),
            (json!({"name": "a", "filter": "campain.*"}), "filter"),
            (json!({"name": "a", "filter": "slots.granted"}), "filter"),
            (json!({"name": "a", "filter": "other.campaign.created"}), "filter"),
        ] {
            let answer = api.post("/feed/consumers", body.clone()).await;
            assert_eq!((answer.status.as_u16(), &answer.body["errors"][0]["field"]), (422, &json!(field)), "{body}");
        }
    }
}
