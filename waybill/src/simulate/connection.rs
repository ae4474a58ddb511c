//! One connection of a device, from its permit to connect until it ends (rule 9: the last will carries the same session).

use std::sync::Arc;
use std::time::Duration;

use rumqttc::{AsyncClient, ConnectionError, Event, Packet, QoS, SubscribeFilter, SubscribeReasonCode};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use runtime::clock;

use super::device::{Device, random_id};
use super::link::{DISCONNECT_TIMEOUT, Link};
use super::login::{Applicant, Credential, LoginOfFleet};
use super::run_message::Run;
use super::wire::{Absence, Command};

/// From the first byte to the subscription; if a broker takes longer, the attempt ends.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// The device got no credential, or needs no connection any more.
struct NoCredential;

enum Ended {
    /// By the device itself; `clean` sends a DISCONNECT, so that the will is not published.
    ByDevice {
        clean: bool,
    },
    Lost,
}

impl Device {
    /// Connects and serves one connection. Returns when it has ended, with the time of the next attempt set.
    pub(super) async fn connection(&mut self) {
        let Some(permit) = self.turn_to_connect().await else { return };
        let Ok(credential) = self.credential().await else { return };
        let session = random_id();
        let will = Absence { status: "offline", session: &session, boot_id: self.firmware.boot_id() };
        let will = serde_json::to_vec(&will).unwrap_or_default();
        let client_id = format!("{}/{}", self.shared.tenant, self.device_id);
        let mut link = Link::new(&self.shared.broker, client_id, credential.as_ref(), self.topic("status"), will);
        let ended = self.serve(&mut link, &session, permit).await;
        let was_up = self.session.take().is_some();
        if was_up && matches!(ended, Ended::Lost) {
            self.shared.gauges.lost_connections.add(1);
        }
        let unsent = self.outbox.take_unsent();
        if self.wants_connection() {
            self.outbox = unsent;
        }
        match ended {
            Ended::ByDevice { clean: true } => link.disconnect().await,
            Ended::ByDevice { clean: false } => {}
            Ended::Lost => self.back_off(),
        }
        (self.cut, self.clean) = (false, false);
        self.note();
    }

    /// Waits for a permit to connect; none if the device no longer needs a connection.
    async fn turn_to_connect(&mut self) -> Option<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.shared.connecting).acquire_owned();
        tokio::pin!(turn);
        loop {
            tokio::select! {
                biased;
                permit = &mut turn => return permit.ok(),
                local = self.locals.next(None) => self.on_local(local),
            }
            if !self.wants_connection() {
                return None;
            }
        }
    }

    /// What to log in with; gets it first, if each device has its own and this one has none.
    async fn credential(&mut self) -> Result<Option<Credential>, NoCredential> {
        let login = Arc::clone(&self.shared.login);
        let registrar = match &*login {
            LoginOfFleet::Same(credential) => return Ok(credential.clone()),
            LoginOfFleet::Own(registrar) => registrar,
        };
        if let Some(credential) = &self.firmware.flash().credential {
            return Ok(Some(credential.clone()));
        }
        let applicant = Applicant {
            device_id: self.device_id.clone(),
            device_model: self.status_cell.read().device_model.clone(),
            versions: self.firmware.flash().versions.clone(),
        };
        let got = registrar.credential(&applicant);
        tokio::pin!(got);
        let got = loop {
            tokio::select! {
                biased;
                got = &mut got => break got,
                local = self.locals.next(None) => self.on_local(local),
            }
            if !self.wants_connection() {
                return Err(NoCredential);
            }
        };
        match &got {
            Some(credential) => self.firmware.keep_credential(credential.clone()),
            None => self.back_off(),
        }
        got.map(Some).ok_or(NoCredential)
    }

    async fn serve(&mut self, link: &mut Link, session: &str, permit: OwnedSemaphorePermit) -> Ended {
        let mut _connecting = Some(permit);
        let mut deadline = Some(Instant::now() + CONNECT_TIMEOUT);
        self.cut = false;
        loop {
            // One poll is always awaited to its end: dropping it half-way could lose a packet.
            let poll = link.events.poll();
            tokio::pin!(poll);
            let polled = loop {
                tokio::select! {
                    biased;
                    polled = &mut poll => break polled,
                    local = self.locals.next(deadline) => self.on_local(local),
                }
                if let Some(ended) = self.is_over(&mut deadline) {
                    return ended;
                }
                if self.session.is_some() {
                    self.outbox.pump(&link.client);
                }
            };
            match self.on_polled(polled, &link.client, session) {
                Ok(true) => (_connecting, deadline) = (None, None),
                Ok(false) => {}
                Err(ended) => return ended,
            }
            if let Some(ended) = self.is_over(&mut deadline) {
                return ended;
            }
        }
    }

    /// Whether the connection should end now. A clean end waits, up to a limit, until everything queued is acknowledged.
    fn is_over(&self, deadline: &mut Option<Instant>) -> Option<Ended> {
        let now = Instant::now();
        let late = deadline.is_some_and(|at| at <= now);
        if self.cut || self.stopping {
            return Some(Ended::ByDevice { clean: false });
        }
        // A begun end is completed, because a device that has booted meanwhile has another session.
        let is_ending = self.session.is_some() && deadline.is_some();
        if self.wants_connection() && !is_ending {
            return (late && self.session.is_none()).then_some(Ended::Lost);
        }
        if !self.clean || self.session.is_none() {
            return Some(Ended::ByDevice { clean: false });
        }
        if self.outbox.is_empty() || late {
            return Some(Ended::ByDevice { clean: true });
        }
        deadline.get_or_insert(now + DISCONNECT_TIMEOUT);
        None
    }

    /// Handles an event of the client library; true if the connection is up now.
    fn on_polled(
        &mut self,
        polled: Result<Event, ConnectionError>,
        client: &AsyncClient,
        session: &str,
    ) -> Result<bool, Ended> {
        let mut up = false;
        match polled {
            Err(error) => {
                tracing::debug!(device.id = %self.device_id, %error, "connection is lost");
                if matches!(error, ConnectionError::ConnectionRefused(_)) {
                    self.refused();
                }
                return Err(Ended::Lost);
            }
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                let topics =
                    ["commands", "run"].map(|suffix| SubscribeFilter::new(self.topic(suffix), QoS::AtMostOnce));
                client.try_subscribe_many(topics).map_err(|_| Ended::Lost)?;
            }
            Ok(Event::Incoming(Packet::SubAck(ack))) => {
                if ack.return_codes.contains(&SubscribeReasonCode::Failure) {
                    tracing::warn!(device.id = %self.device_id, "broker refuses the subscription");
                    return Err(Ended::Lost);
                }
                self.on_subscribed(session);
                up = true;
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                self.shared.gauges.commands.add(1);
                let actions = if publish.topic.ends_with(b"/run") {
                    self.firmware.on_run(Run::parse(&publish.payload))
                } else {
                    self.firmware.on_command(Command::parse(&publish.payload), clock::now())
                };
                self.perform(actions);
            }
            Ok(Event::Incoming(Packet::PubAck(ack))) => {
                if self.outbox.acknowledged(ack.pkid) {
                    self.shared.gauges.acknowledged.add(1);
                }
            }
            Ok(Event::Outgoing(rumqttc::Outgoing::Publish(packet_id))) => self.outbox.sent(packet_id),
            Ok(_) => {}
        }
        if self.session.is_some() {
            self.outbox.pump(client);
        }
        Ok(up)
    }

    /// Publishes presence first, then messages left from before.
    fn on_subscribed(&mut self, session: &str) {
        self.session = Some(session.to_owned());
        self.connected();
        self.shared.gauges.connects.add(1);
        let unsent = self.outbox.take_unsent();
        let actions = self.firmware.on_connected();
        self.perform(actions);
        let dropped = self.outbox.append(unsent);
        self.shared.gauges.dropped_messages.add(dropped);
    }
}
