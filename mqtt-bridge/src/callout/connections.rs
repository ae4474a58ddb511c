//! The connections of devices, as nats-server lists them, and the end of some. By requests to all servers of the cluster, from the system
//! account.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_nats::{Client, Subscriber};
use chrono::{DateTime, Utc};
use domain::TenantId;
use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, timeout, timeout_at};

/// Asks all servers for connections.
const PING: &str = "$SYS.REQ.SERVER.PING.CONNZ";
/// How long all servers may take to answer. How many there are isn't known.
const ANSWER_WINDOW: Duration = Duration::from_millis(500);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections in one answer: nats-server's own limit by default.
const PAGE: usize = 1_024;
/// Most devices that are asked for one by one. A server looks at all of its connections for each, so for more devices it lists all instead.
const ASKED_ALONE_MAX: usize = 64;

/// Connections that are ended at the same time, at one server.
const KICKS_MAX: usize = 32;

/// Up to when each server has listed its connections, by its own clock.
pub(super) type Listed = HashMap<String, DateTime<Utc>>;

/// Whose connections end.
#[derive(Debug, Default)]
pub(super) struct Whose {
    /// Names under which nats-server lists them.
    pub(super) users: HashSet<String>,
    /// Everybody of these tenants.
    pub(super) tenants: HashSet<TenantId>,
}

impl Whose {
    pub(super) fn len(&self) -> usize {
        self.users.len() + self.tenants.len()
    }

    fn has(&self, user: &str) -> bool {
        let tenant = || user.split('/').next().and_then(|tenant| TenantId::new(tenant).ok());
        self.users.contains(user)
            || (!self.tenants.is_empty() && tenant().is_some_and(|one| self.tenants.contains(&one)))
    }
}

/// Requests to the servers.
#[derive(Clone)]
pub(super) struct Connections {
    system: Client,
}

/// Which connections are listed.
#[derive(Serialize)]
struct Query {
    /// Names users and accounts.
    auth: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    limit: usize,
    offset: usize,
}

#[derive(Deserialize)]
struct Reply {
    server: Server,
    data: Page,
}

#[derive(Deserialize)]
struct Server {
    id: String,
}

#[derive(Deserialize)]
struct Page {
    now: DateTime<Utc>,
    #[serde(default)]
    connections: Vec<Connection>,
}

#[derive(Deserialize)]
struct Connection {
    cid: u64,
    start: DateTime<Utc>,
    #[serde(default)]
    authorized_user: String,
}

/// Answer to a kick.
#[derive(Deserialize)]
struct Kicked {
    error: Option<serde_json::Value>,
}

impl Connections {
    pub(super) fn new(system: Client) -> Self {
        Self { system }
    }

    /// Ends all of these connections, at every server; `before`: only those that began before the server listed them then.
    /// Returns up to when the servers have listed them now. Fails if no server answered.
    pub(super) async fn end(&self, whose: &Whose, before: Option<&Listed>) -> Result<Listed, String> {
        let queries = queries(whose);
        let listed = try_join_all(queries.iter().map(|query| self.end_listed(query, whose, before))).await?;
        let mut earliest = Listed::new();
        for (server, now) in listed.into_iter().flatten() {
            let known = earliest.entry(server).or_insert(now);
            *known = now.min(*known);
        }
        Ok(earliest)
    }

    /// Ends the oldest connections of users who have more than `most`, at whichever server. Returns how many.
    pub(super) async fn end_surplus(&self, whose: &Whose, most: usize) -> Result<usize, String> {
        let mut by_user: HashMap<String, Vec<(DateTime<Utc>, String, u64)>> = HashMap::new();
        for query in queries(whose) {
            let mut replies = self.ask_all(&query).await?;
            let deadline = Instant::now() + ANSWER_WINDOW;
            while let Ok(Some(message)) = timeout_at(deadline, replies.next()).await {
                let Reply { server: Server { id }, data } = read(&message.payload)?;
                for found in self.all_pages(&id, &query, data, |found| whose.has(&found.authorized_user)).await? {
                    by_user.entry(found.authorized_user).or_default().push((found.start, id.clone(), found.cid));
                }
            }
        }
        let surplus = by_user.into_values().flat_map(|mut connections| {
            connections.sort_unstable();
            let ended = connections.len().saturating_sub(most);
            connections.truncate(ended);
            connections
        });
        let surplus: Vec<_> = surplus.collect();
        let mut kicks = Vec::new();
        for (_, server, cid) in &surplus {
            kicks.push(self.kick(server, *cid));
        }
        stream::iter(kicks).buffer_unordered(KICKS_MAX).try_collect::<()>().await?;
        Ok(surplus.len())
    }

    /// Asks all servers; their answers come to the subscription.
    async fn ask_all(&self, query: &Query) -> Result<Subscriber, String> {
        let inbox = self.system.new_inbox();
        let replies = self.system.subscribe(inbox.clone()).await.map_err(|error| error.to_string())?;
        let asked = self.system.publish_with_reply(PING, inbox, body(query)?.into()).await;
        asked.map_err(|error| error.to_string())?;
        Ok(replies)
    }

    async fn end_listed(&self, query: &Query, whose: &Whose, before: Option<&Listed>) -> Result<Listed, String> {
        let mut listed = Listed::new();
        let mut replies = self.ask_all(query).await?;
        let deadline = Instant::now() + ANSWER_WINDOW;
        while let Ok(Some(message)) = timeout_at(deadline, replies.next()).await {
            let Reply { server: Server { id }, data } = read(&message.payload)?;
            let began = before.and_then(|before| before.get(&id)).copied();
            let is_meant = |connection: &Connection| {
                began.is_none_or(|began| connection.start <= began) && whose.has(&connection.authorized_user)
            };
            listed.insert(id.clone(), data.now);
            let meant = self.all_pages(&id, query, data, is_meant).await?;
            let kicks = meant.into_iter().map(|found| self.kick(&id, found.cid));
            stream::iter(kicks).buffer_unordered(KICKS_MAX).try_collect::<()>().await?;
        }
        if listed.is_empty() { Err("no nats-server lists its connections".to_owned()) } else { Ok(listed) }
    }

    /// The connections that are meant, on the first page of a server and on those that follow it.
    async fn all_pages(
        &self,
        server: &str,
        query: &Query,
        mut page: Page,
        is_meant: impl Fn(&Connection) -> bool,
    ) -> Result<Vec<Connection>, String> {
        let (mut meant, mut offset) = (Vec::new(), 0);
        loop {
            let length = page.connections.len();
            meant.extend(page.connections.into_iter().filter(|connection| is_meant(connection)));
            if length < query.limit {
                return Ok(meant);
            }
            offset += length;
            let next = Query { user: query.user.clone(), offset, ..*query };
            let reply = self.request(format!("$SYS.REQ.SERVER.{server}.CONNZ"), body(&next)?).await?;
            page = read::<Reply>(&reply)?.data;
        }
    }

    /// A connection that has ended meanwhile is no error.
    async fn kick(&self, server: &str, cid: u64) -> Result<(), String> {
        let body = json!({ "cid": cid }).to_string().into_bytes();
        let Kicked { error } = read(&self.request(format!("$SYS.REQ.SERVER.{server}.KICK"), body).await?)?;
        match error {
            None => metrics::counter!("waybill_mqtt_kicked_total").increment(1),
            Some(error) => tracing::debug!(%error, nats.cid = cid, "a connection is not ended"),
        }
        Ok(())
    }

    async fn request(&self, subject: String, body: Vec<u8>) -> Result<bytes::Bytes, String> {
        let reply = timeout(REQUEST_TIMEOUT, self.system.request(subject, body.into())).await;
        let reply = reply.map_err(|_| "nats-server gave no answer in time".to_owned())?;
        reply.map(|message| message.payload).map_err(|error| error.to_string())
    }
}

/// One query for each of a few devices; one for all connections if there are more, or whole tenants.
fn queries(whose: &Whose) -> Vec<Query> {
    let query = |user| Query { auth: true, user, limit: PAGE, offset: 0 };
    if whose.tenants.is_empty() && whose.users.len() <= ASKED_ALONE_MAX {
        whose.users.iter().map(|user| query(Some(user.clone()))).collect()
    } else {
        vec![query(None)]
    }
}

fn body(query: &Query) -> Result<Vec<u8>, String> {
    serde_json::to_vec(query).map_err(|error| error.to_string())
}

fn read<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("nats-server's answer can't be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_devices_are_looked_for_in_one_list() {
        let devices = |count: usize| {
            let users = (0..count).map(|n| format!("acme/d-{n}")).collect();
            queries(&Whose { users, ..Whose::default() })
        };
        let mut users: Vec<_> = devices(2).into_iter().map(|query| query.user).collect();
        users.sort();
        assert_eq!(users, [Some("acme/d-0".to_owned()), Some("acme/d-1".to_owned())]);
        assert_eq!(devices(ASKED_ALONE_MAX).len(), ASKED_ALONE_MAX);
        let all = devices(ASKED_ALONE_MAX + 1);
        assert_eq!((all.len(), &all[0].user), (1, &None));
        let tenants = HashSet::from([TenantId::new("acme").unwrap()]);
        let whole = Whose { tenants, ..Whose::default() };
        assert_eq!(queries(&whole).len(), 1);
        assert!(whole.has("acme/d-9") && !whole.has("rival/d-9") && !whole.has("waybill"));
    }

    #[test]
    fn an_answer_of_nats_server_is_read() {
        let Reply { server, data } = read(
            br#"{"server":{"id":"N1","ver":"2.15.1"},"data":{"now":"2026-11-28T22:29:03.507108255Z","total":5,"connections":[
            {"cid":43,"type":"mqtt","start":"2026-11-28T22:29:03.45694661Z","authorized_user":"acme/d-1","account":"DEVICES"}]}}"#,
        )
        .unwrap();
        assert_eq!((server.id.as_str(), data.connections[0].cid), ("N1", 43));
        assert!(data.connections[0].start < data.now);
        assert!(read::<Kicked>(br#"{"server":{}}"#).unwrap().error.is_none());
        assert!(read::<Kicked>(br#"{"server":{},"error":{"code":500}}"#).unwrap().error.is_some());
    }
}
