//! `--jq FILTER`: a filter of the jq language over answers in JSON. A text is printed as it is, everything else as one line of JSON.
//!
//! A filter may have no end. Each output must come in time, and all of them have a largest size. The filter works in a thread of its own,
//! which ends with the process if it does not end by itself.

mod program;

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use jaq_core::{Ctx, Vars};
use jaq_json::{Val, read};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::failure::{Failure, Result};
use crate::out;

use program::{Data, Program};

/// Time until the next output of a filter.
const OUTPUT_TIME_MAX: Duration = Duration::from_secs(10);
/// All outputs for one answer, or for a page of `-o ndjson`, in bytes.
const OUTPUT_MAX_BYTES: usize = 256 * 1024 * 1024;
/// Outputs that wait until they are printed.
const OUTPUTS_WAITING: usize = 64;
/// Stack of a filter, in bytes: functions may call themselves.
const STACK_BYTES: usize = 64 * 1024 * 1024;
/// Longest part of an error that is shown, in characters: it may have values of the answer in it.
const SHOWN_MAX_CHARS: usize = 200;

/// A filter that has been compiled.
#[derive(Clone)]
pub(crate) struct Filter {
    program: Arc<Program>,
    time_max: Duration,
    bytes_max: usize,
}

/// What a filter is given.
pub(crate) enum Input {
    One(Box<RawValue>),
    /// One array of these.
    List(Vec<Box<RawValue>>),
}

impl Input {
    /// A value that the command line has made or read itself.
    pub(crate) fn of(value: &Value) -> Result<Self> {
        let raw = serde_json::value::to_raw_value(value);
        raw.map(Self::One).map_err(|error| Failure::here(format!("an answer can't be filtered: {error}")))
    }

    /// Bodies of answers that aren't JSON are refused.
    pub(crate) fn of_body(body: &[u8]) -> Result<Self> {
        serde_json::from_slice(body)
            .map(Self::One)
            .map_err(|_| Failure::here("the answer is no JSON: --jq can't read it"))
    }
}

/// Compiles a filter; for `clap`.
pub(crate) fn parse(text: &str) -> std::result::Result<Filter, String> {
    let program = Arc::new(program::compiled(text)?);
    Ok(Filter { program, time_max: OUTPUT_TIME_MAX, bytes_max: OUTPUT_MAX_BYTES })
}

impl Filter {
    /// Prints what the filter makes of each input.
    pub(crate) fn print(&self, inputs: Vec<Input>) -> Result<()> {
        self.each(inputs, |output| out::line(output))
    }

    fn each(&self, inputs: Vec<Input>, mut take: impl FnMut(&str) -> Result<()>) -> Result<()> {
        let (sender, outputs) = sync_channel(OUTPUTS_WAITING);
        let program = Arc::clone(&self.program);
        let work = thread::Builder::new().name("jq".to_owned()).stack_size(STACK_BYTES);
        let work = work.spawn(move || inputs.iter().all(|input| filtered(&program, input, &sender)));
        let work = work.map_err(|error| Failure::here(format!("the filter can't be run: {error}")))?;
        let mut left = self.bytes_max;
        loop {
            match outputs.recv_timeout(self.time_max) {
                Ok(Ok(output)) if output.len() < left => {
                    left -= output.len() + 1;
                    take(&output)?;
                }
                Ok(Ok(_)) => {
                    return Err(Failure::here(format!("the filter printed {} bytes, and has no end", self.bytes_max)));
                }
                Ok(Err(why)) => return Err(Failure::here(format!("the filter failed: {why}"))),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Failure::here(format!("the filter printed nothing for {} s", self.time_max.as_secs())));
                }
                // All are filtered, or it panicked.
                Err(RecvTimeoutError::Disconnected) => {
                    return work.join().map(|_| ()).map_err(|_| Failure::here("the filter broke"));
                }
            }
        }
    }
}

/// Sends the outputs for one input; whether all went well.
fn filtered(program: &Program, input: &Input, outputs: &SyncSender<std::result::Result<String, String>>) -> bool {
    let value = match value(input) {
        Ok(value) => value,
        Err(why) => return outputs.send(Err(why)).is_err(),
    };
    for output in program.id.run((Ctx::<Data>::new(&program.lut, Vars::new([])), value)) {
        let output = match output {
            Ok(Val::TStr(text)) => Ok(String::from_utf8_lossy(&text).into_owned()),
            Ok(value) => Ok(value.to_string()),
            Err(exception) => match exception.get_err() {
                Ok(error) => Err(error.to_string().chars().take(SHOWN_MAX_CHARS).collect()),
                // It halts.
                Err(_) => return false,
            },
        };
        let is_well = output.is_ok();
        if outputs.send(output).is_err() || !is_well {
            return false;
        }
    }
    true
}

fn value(input: &Input) -> std::result::Result<Val, String> {
    match input {
        Input::One(raw) => one(raw),
        Input::List(items) => items.iter().map(|item| one(item)).collect(),
    }
}

/// The service's answers aren't trusted: `serde_json` bounds how deep values lie in one another, jaq's reader doesn't.
fn one(raw: &RawValue) -> std::result::Result<Val, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("the answer is no JSON: {error}");
    serde_json::from_str::<Value>(raw.get()).map_err(|error| wrong(&error))?;
    read::parse_single(raw.get().as_bytes()).map_err(|error| wrong(&error))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::exit::Exit;

    fn outputs(filter: &Filter, inputs: Vec<Input>) -> (Vec<String>, Result<()>) {
        let mut outputs = Vec::new();
        let ended = filter.each(inputs, |output| {
            outputs.push(output.to_owned());
            Ok(())
        });
        (outputs, ended)
    }

    fn of(filter: &str, value: &Value) -> Vec<String> {
        let (outputs, ended) = outputs(&parse(filter).unwrap(), vec![Input::of(value).unwrap()]);
        ended.unwrap();
        outputs
    }

    #[test]
    fn texts_are_printed_as_they_are_and_the_rest_as_json() {
        let list = json!([{"id": "d-1", "n": 1, "tags": {"site": "north"}}, {"id": "d-2", "n": 2.5, "tags": {}}]);
        assert_eq!(of(".[].id", &list), ["d-1", "d-2"]);
        assert_eq!(of(".[] | {id, n}", &list), [r#"{"id":"d-1","n":1}"#, r#"{"id":"d-2","n":2.5}"#]);
        assert_eq!(of("map(select(.n > 1) | .id)", &list), [r#"["d-2"]"#]);
        assert_eq!(of("length", &list), ["2"]);
        assert_eq!(of("map(.tags.site)", &list), [r#"["north",null]"#]);
        assert_eq!(of("map(.n) | add", &list), ["3.5"]);
        assert_eq!(of("group_by(.tags.site) | length", &list), ["2"]);
        assert_eq!(of("empty", &list), Vec::<String>::new());
    }

    #[test]
    fn what_is_often_needed_of_texts_is_there() {
        let value = json!(["a\tb", "say \"x\"", null, 1, true]);
        assert_eq!(of("@tsv", &value), ["a\\tb\tsay \"x\"\t\t1\ttrue"]);
        assert_eq!(of("@csv", &value), ["\"a\tb\",\"say \"\"x\"\"\",,1,true"]);
        assert_eq!(of(r#".[0] | test("^A"), test("^A"; "i"), startswith("a")"#, &value), ["false", "true", "true"]);
        assert_eq!(of(r#"[.[] | strings | split("") | length] | tojson"#, &value), ["[3,7]"]);
        assert_eq!(of(r#""\(.[3]) of \(length)""#, &value), ["1 of 5"]);
    }

    #[test]
    fn fields_keep_their_order_and_numbers_their_looks() {
        let raw = RawValue::from_string(r#"{"b":1.0,"a":[12345678901234567890]}"#.to_owned()).unwrap();
        let (one, ended) = outputs(&parse(".").unwrap(), vec![Input::One(raw)]);
        assert_eq!(one, [r#"{"b":1.0,"a":[12345678901234567890]}"#]);
        ended.unwrap();
    }

    #[test]
    fn a_list_is_one_input_and_lines_are_many() {
        let items = || ["1", "2"].map(|text| RawValue::from_string(text.to_owned()).unwrap()).into_iter();
        let filter = parse(".").unwrap();
        assert_eq!(outputs(&filter, vec![Input::List(items().collect())]).0, ["[1,2]"]);
        assert_eq!(outputs(&filter, items().map(Input::One).collect()).0, ["1", "2"]);
        assert_eq!(outputs(&filter, vec![Input::List(Vec::new())]).0, ["[]"]);
    }

    #[test]
    fn a_filter_that_fails_ends_with_a_sentence() {
        let (before, ended) = outputs(&parse(".[] | .x").unwrap(), vec![Input::of(&json!([{"x": 1}, 2])).unwrap()]);
        let failure = ended.unwrap_err();
        assert_eq!((before, failure.exit), (vec!["1".to_owned()], Exit::Failed));
        assert!(failure.sentence.starts_with("the filter failed: "), "{failure}");
        assert_eq!(of("halt(3)", &json!(1)), Vec::<String>::new());
    }

    #[test]
    fn a_filter_without_an_end_is_ended() {
        let input = || vec![Input::of(&json!(1)).unwrap()];
        let filter =
            Filter { time_max: Duration::from_millis(200), bytes_max: 1000, ..parse("last(repeat(1))").unwrap() };
        let failure = outputs(&filter, input()).1.unwrap_err();
        assert!(failure.sentence.contains("printed nothing for"), "{failure}");
        let filter = Filter { bytes_max: 1000, ..parse("repeat(1)").unwrap() };
        let (printed, ended) = outputs(&filter, input());
        assert!(ended.unwrap_err().sentence.contains("1000 bytes"));
        assert_eq!(printed.len(), 500);
    }

    #[test]
    fn values_that_lie_too_deep_are_refused() {
        let deep = RawValue::from_string(format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))).unwrap();
        let failure = outputs(&parse(".").unwrap(), vec![Input::One(deep)]).1.unwrap_err();
        assert!(failure.sentence.contains("no JSON"), "{failure}");
    }
}
