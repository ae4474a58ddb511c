//! Creates a campaign and starts it, as one request.

use domain::campaign::Campaign;
use domain::{CampaignId, Key};
use runtime::clock;
use serde_json::Value;

use super::create;
use super::model::location;
use super::spec::CampaignRequest;
use super::start::{StartRequest, Started, start};
use super::targets::known_targets;
use crate::auth::Caller;
use crate::devices::key;
use crate::http::{Envelope, Problem, Reply, body};
use crate::state::App;

/// Creates a campaign from the body of `POST /campaigns` and starts it. Sent again with its key after a crash between the two, it starts
/// the campaign that it had created.
pub(crate) async fn launch(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    wanted: &Value,
    reason: Option<String>,
) -> Result<Reply<Started>, Problem> {
    // Two commands to one campaign, so each has a key of its own.
    let (creating, starting) = (envelope.item(0), envelope.item(1));
    let id = CampaignId(creating.new_id(caller));
    let campaign = Key::<Campaign>::new(&caller.tenant, &id);
    let created = match app.repeated(caller, &creating, &campaign).await? {
        Some(done) => done,
        None => {
            let request: CampaignRequest = body::parse(wanted.to_string().as_bytes())?;
            let spec = request.into_spec(clock::now(), app.tenants.rules(&caller.tenant).await?)?;
            known_targets(app, caller, &spec).await?;
            // Without read models nothing can be planned, and the campaign would stay a draft.
            app.db.ping().await?;
            // A refused request leaves its key free.
            create::create(app, caller, &creating.as_dry_run(), id, spec.clone(), reason.clone()).await?;
            key::claim_for(app, caller, envelope, envelope.digest_hex()).await?;
            create::create(app, caller, &creating, id, spec, reason.clone()).await?
        }
    };
    if created.dry_run {
        return Ok(created.reply(Started::of(id, &created.aggregate, &created.times)));
    }
    let wanted = StartRequest { reason, ..StartRequest::default() };
    Ok(start(app, caller, &starting, id, wanted).await?.created(location(id)))
}
