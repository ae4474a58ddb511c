//! Topics of ChirpStack's MQTT integration. The operator of ChirpStack may have changed their form.

use super::DevEui;

/// The form that ChirpStack has by default.
const USUAL: &str = "application/{{application_id}}/device/{{dev_eui}}/event/{{event}}";
/// Longest form, in bytes, and its most levels.
const TEMPLATE_MAX_BYTES: usize = 512;
const LEVELS_MAX: usize = 16;

/// One level of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    Fixed(String),
    /// A placeholder with text around it is read as a whole.
    Any {
        prefix: String,
        value: Value,
        suffix: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Application,
    DevEui,
    Event,
}

/// `event_topic` of ChirpStack's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicTemplate {
    levels: Vec<Level>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a topic of events: {0}")]
pub struct InvalidTemplate(&'static str);

/// What a topic says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicParts {
    pub dev_eui: Option<DevEui>,
    pub event: Option<String>,
}

impl Default for TopicTemplate {
    fn default() -> Self {
        Self::parse(USUAL).unwrap_or(Self { levels: Vec::new() })
    }
}

impl TopicTemplate {
    /// `{{application_id}}`, `{{dev_eui}}` and `{{event}}` stand for their values, also with one brace.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        if text.is_empty() || text.len() > TEMPLATE_MAX_BYTES {
            return Err(InvalidTemplate("empty or too long"));
        }
        if text.contains(['+', '#', '\0']) {
            return Err(InvalidTemplate("it has a wildcard"));
        }
        let levels = text.split('/').map(level).collect::<Result<Vec<_>, _>>()?;
        if levels.len() > LEVELS_MAX {
            return Err(InvalidTemplate("too many levels"));
        }
        let has =
            |wanted: Value| levels.iter().any(|level| matches!(level, Level::Any { value, .. } if *value == wanted));
        if !has(Value::Event) {
            return Err(InvalidTemplate("{{event}} is missing"));
        }
        Ok(Self { levels })
    }

    /// The filter that gets the events of all devices, and no commands.
    pub fn filter(&self) -> String {
        let level = |level: &Level| match level {
            Level::Fixed(text) => text.clone(),
            Level::Any { .. } => "+".to_owned(),
        };
        self.levels.iter().map(level).collect::<Vec<_>>().join("/")
    }

    /// What a topic says, if it has this form.
    pub fn read(&self, topic: &str) -> Option<TopicParts> {
        let mut parts = TopicParts { dev_eui: None, event: None };
        let mut levels = topic.split('/');
        for wanted in &self.levels {
            let found = levels.next()?;
            match wanted {
                Level::Fixed(text) if text == found => {}
                Level::Fixed(_) => return None,
                Level::Any { prefix, value, suffix } => {
                    let found = found.strip_prefix(prefix.as_str())?.strip_suffix(suffix.as_str())?;
                    match value {
                        Value::Application => {}
                        Value::DevEui => parts.dev_eui = DevEui::parse(found),
                        Value::Event => parts.event = Some(found.to_owned()),
                    }
                }
            }
        }
        levels.next().is_none().then_some(parts)
    }
}

fn level(text: &str) -> Result<Level, InvalidTemplate> {
    let Some((prefix, rest)) = text.split_once('{') else { return Ok(Level::Fixed(text.to_owned())) };
    let rest = rest.strip_prefix('{').unwrap_or(rest);
    let (name, suffix) = rest.split_once('}').ok_or(InvalidTemplate("a brace is not closed"))?;
    let suffix = suffix.strip_prefix('}').unwrap_or(suffix);
    let value = match name.trim() {
        "application_id" => Value::Application,
        "dev_eui" => Value::DevEui,
        "event" => Value::Event,
        _ => return Err(InvalidTemplate("an unknown placeholder")),
    };
    if suffix.contains(['{', '}']) {
        return Err(InvalidTemplate("two placeholders in one level"));
    }
    Ok(Level::Any { prefix: prefix.to_owned(), value, suffix: suffix.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_form_gets_events_and_no_commands() {
        let usual = TopicTemplate::default();
        assert_eq!(usual.filter(), "application/+/device/+/event/+");
        let read = |topic: &str| usual.read(topic).map(|parts| (parts.dev_eui.map(|eui| eui.to_string()), parts.event));
        assert_eq!(
            read("application/1/device/0102030405060708/event/up"),
            Some((Some("0102030405060708".to_owned()), Some("up".to_owned())))
        );
        for other in
            ["application/1/device/0102030405060708/command/down", "application/1/device/0102030405060708/event", "a"]
        {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn an_operators_own_form_is_read() {
        let own = TopicTemplate::parse("eu868/lns-{{ dev_eui }}/{event}").unwrap();
        assert_eq!(own.filter(), "eu868/+/+");
        assert_eq!(own.read("eu868/lns-0102030405060708/txack").unwrap().event.as_deref(), Some("txack"));
        for wrong in ["", "a/b", "a/#", "+/{{event}}", "{{event}}/{{other}}", "{{event", "{{event}}{{dev_eui}}"] {
            assert!(TopicTemplate::parse(wrong).is_err(), "{wrong}");
        }
    }
}
