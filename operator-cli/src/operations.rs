//! The table of operations: which verb of which noun is which operation of the API, and what is printed of its answer. Everything else
//! about an operation (path, parameters, fields) comes from the [description](crate::description).
//!
//! To give an operation of the API a verb, add a line to a table below; to leave it without one, add it with a reason to `EXEMPT`.

mod access;
mod campaigns;
mod devices;
mod fleet;

/// A verb of a noun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub noun: &'static str,
    pub verb: &'static str,
    /// `operationId` of the API.
    pub id: &'static str,
    /// Another name of the verb.
    pub alias: Option<&'static str>,
    /// What is asked before it is done, as in "… in context x?": of operations that take something away.
    pub asks: Option<&'static str>,
    pub shows: Shows,
    /// The field that `-o name` prints.
    pub name: &'static str,
    /// Columns of the table.
    pub columns: &'static [&'static str],
    /// Further columns of `-o wide`.
    pub wide: &'static [&'static str],
}

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    /// One object.
    One,
    /// Pages of `items`.
    List,
    /// One object whose table has the rows of these fields, separated by spaces.
    Rows(&'static str),
    /// One object with a sentence in `answer`, and the links of a chain.
    Answer,
    /// Text that is printed as it is.
    Text,
}

impl Operation {
    const fn new(noun: &'static str, verb: &'static str, id: &'static str) -> Self {
        let shows = Shows::One;
        Self { noun, verb, id, alias: None, asks: None, shows, name: "", columns: &[], wide: &[] }
    }

    const fn alias(self, alias: &'static str) -> Self {
        Self { alias: Some(alias), ..self }
    }

    const fn asks(self, asks: &'static str) -> Self {
        Self { asks: Some(asks), ..self }
    }

    /// Its name is in this field.
    const fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    const fn list(self, name: &'static str, columns: &'static [&'static str]) -> Self {
        Self { shows: Shows::List, name, columns, ..self }
    }

    const fn rows(self, rows: &'static str, name: &'static str, columns: &'static [&'static str]) -> Self {
        Self { shows: Shows::Rows(rows), name, columns, ..self }
    }

    const fn wide(self, wide: &'static [&'static str]) -> Self {
        Self { wide, ..self }
    }

    const fn shows(self, shows: Shows) -> Self {
        Self { shows, ..self }
    }
}

/// Nouns, and what they are.
pub(crate) const NOUNS: &[(&str, &str)] = &[
    ("device", "Devices: what they run, and commands to them"),
    ("firmware", "Firmware: upload, sign, follow and withdraw it"),
    ("exposure", "Devices that a vulnerability or a component concerns"),
    ("campaign", "Campaigns: preview, start, watch and steer them"),
    ("update", "Updates of single devices"),
    ("rollback", "Rollbacks of single devices"),
    ("group", "Groups of devices"),
    ("audit", "Everything that happened in the tenant"),
    ("stats", "Numbers of the fleet"),
    ("dead-letter", "Messages of devices that could not be taken"),
    ("key", "API keys of programs"),
    ("trusted-key", "Keys whose signatures of firmware the tenant trusts"),
    ("member", "What actors may do in the tenant"),
    ("registration-token", "Tokens with which devices register themselves"),
    ("session", "Web sessions of people, and tokens"),
    ("feed-consumer", "Programs that read the feed of the tenant"),
    ("tenant", "Tenants, their rules and their ChirpStack"),
    ("service", "The service itself"),
];

/// All verbs.
pub(crate) fn all() -> impl Iterator<Item = &'static Operation> {
    [devices::OPERATIONS, fleet::OPERATIONS, campaigns::OPERATIONS, access::OPERATIONS].into_iter().flatten()
}

/// What `waybill search` prints.
pub(crate) const SEARCH: &Operation =
    &Operation::new("search", "TEXT", "search").list("id", &["kind", "id", "name", "detail"]).wide(&["matched"]);

/// Operations without a verb, and why.
#[cfg(test)]
pub(crate) const EXEMPT: &[(&str, &str)] = &[
    ("dev_token", "`waybill login --dev` gets one"),
    ("event_stream", "`waybill events` and `waybill campaign watch` read it"),
    ("event_socket", "the same messages as the stream, for browsers"),
    ("issue_stream_ticket", "for clients that can't set a header; the command line can"),
    ("open_session", "for browsers; the command line shows its token itself"),
    ("sign_in_ways", "for the page of a sign-in"),
    ("current_session", "of a browser's session; the command line has a token"),
    ("start_sign_in", "for browsers"),
    ("sign_in_callback", "for browsers, at the end of a sign-in"),
    ("sign_out", "of a browser's session; `waybill logout` forgets the token"),
    ("download", "`waybill firmware download` follows the link"),
    ("register_itself", "for devices, with a registration token"),
    ("receive_event", "for ChirpStack"),
    ("receive_error", "for ChirpStack"),
    ("receive_status", "for ChirpStack"),
    ("receive_uplink", "for ChirpStack"),
    ("render_metrics", "for Prometheus"),
    ("search", "`waybill search` asks it, and is no verb of a noun"),
    ("put_ota_update", "the path of the old service; `device update` does it"),
    ("execute_campaign", "the path of the old service; `campaign start` does it"),
    ("ota_campaign_status", "the path of the old service; `campaign status` shows it"),
    ("campaign_stats", "the same as `campaign status`"),
    ("get_device_update", "`waybill update get DEVICE~ORDINAL` shows it"),
];
