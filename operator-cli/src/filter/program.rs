//! The language of `--jq`: what jaq has without regular expressions, dates and formats, and of these what is often needed.

use jaq_core::data::JustLut;
use jaq_core::load::parse::Def;
use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::native::{self, Fun, unary, v};
use jaq_core::{Compiler, Error, compile};
use jaq_json::Val;
use jaq_std::ValT;
use regex::RegexBuilder;

/// Longest filter, in bytes.
const FILTER_MAX_BYTES: usize = 64 * 1024;
/// Largest compiled regular expression, in bytes.
const REGEX_MAX_BYTES: usize = 1024 * 1024;
/// Longest part of a filter that an error shows, in characters.
const SHOWN_MAX_CHARS: usize = 40;
/// Definitions of the standard library that need parts of it which are left out: they would bring a calendar and further libraries.
const LEFT_OUT: [&str; 26] = [
    "@base64",
    "@base64d",
    "@html",
    "@htmld",
    "@uri",
    "@urid",
    "capture",
    "debug",
    "drem",
    "fromdate",
    "gamma",
    "gsub",
    "halt_error",
    "logb",
    "match",
    "nexttoward",
    "pow10",
    "scalb",
    "scan",
    "scan_",
    "significand",
    "splits",
    "stderr",
    "sub",
    "test",
    "todate",
];
/// Definitions beside those of the standard library.
const DEFINITIONS: &str = r#"
def test($re): test($re; "");
def @tsv: map(if . == null then "" else tostring
    | split("\\") | join("\\\\") | split("\t") | join("\\t") | split("\n") | join("\\n") | split("\r") | join("\\r") end) | join("\t");
def @csv: map(if isstring then "\"" + (split("\"") | join("\"\"")) + "\"" elif . == null then "" else tostring end) | join(",");
"#;

pub(super) type Data = JustLut<Val>;
pub(super) type Program = jaq_core::Filter<Data>;

/// Compiles a filter; an error says what is wrong with it.
pub(super) fn compiled(text: &str) -> Result<Program, String> {
    if text.len() > FILTER_MAX_BYTES {
        return Err(format!("it has more than {FILTER_MAX_BYTES} bytes"));
    }
    let arena = Arena::default();
    let modules = Loader::new(definitions()).load(&arena, File { code: text, path: () });
    let modules = modules.map_err(|errors| sentence(errors.into_iter().map(|(_, error)| load_error(error))))?;
    let compiled = Compiler::default().with_funs(functions()).compile(modules);
    compiled.map_err(|errors| sentence(errors.into_iter().flat_map(|(_, errors)| errors).map(unknown)))
}

fn definitions() -> impl Iterator<Item = Def<&'static str>> {
    let standard = jaq_std::defs().filter(|def| {
        let splits_by_regex = def.name == "split" && def.args.len() == 2;
        !LEFT_OUT.contains(&def.name) && !splits_by_regex
    });
    // A test reads them.
    let own = load::parse(DEFINITIONS, |parser| parser.defs()).unwrap_or_default();
    jaq_core::defs().chain(standard).chain(jaq_json::defs()).chain(own)
}

fn functions() -> impl Iterator<Item = Fun<Data>> {
    let test: native::Filter<jaq_core::RunPtr<Data>> = ("test", v(2), |mut cv| {
        let flags = cv.0.pop_var();
        unary(cv, move |value, pattern| is_match(&value, &pattern, &flags).map(Val::from))
    });
    jaq_core::funs().chain(jaq_std::base_funs()).chain(jaq_json::funs()).chain([native::run::<Data>(test)])
}

/// Whether a text matches a regular expression; the flags may have `i`: upper and lower case are the same.
fn is_match(value: &Val, pattern: &Val, flags: &Val) -> Result<bool, Error<Val>> {
    let (value, pattern, flags) = (text(value)?, text(pattern)?, text(flags)?);
    if let Some(flag) = flags.chars().find(|flag| *flag != 'i') {
        return Err(Error::str(format_args!("test has no flag {flag:?}, only \"i\"")));
    }
    let regex = RegexBuilder::new(pattern).case_insensitive(flags.contains('i')).size_limit(REGEX_MAX_BYTES).build();
    let regex = regex.map_err(|_| Error::str(format_args!("{pattern:?} is no regular expression")))?;
    Ok(regex.is_match(value))
}

fn text(value: &Val) -> Result<&str, Error<Val>> {
    std::str::from_utf8(value.try_as_utf8_bytes()?).map_err(|_| Error::str("a text is no UTF-8"))
}

fn load_error(error: load::Error<&str>) -> String {
    match error {
        load::Error::Io(modules) => {
            let module = modules.into_iter().next().map(|(module, _)| module).unwrap_or_default();
            format!("there are no modules, so {} can't be included", shown(module))
        }
        load::Error::Lex(errors) => {
            errors.into_iter().next().map(|(expected, found)| missing(expected.as_str(), found)).unwrap_or_default()
        }
        load::Error::Parse(errors) => {
            errors.into_iter().next().map(|(expected, found)| missing(expected.as_str(), found)).unwrap_or_default()
        }
    }
}

fn missing(expected: &str, found: &str) -> String {
    if found.is_empty() {
        format!("{expected} is missing at its end")
    } else {
        format!("{expected} is missing at {}", shown(found))
    }
}

fn unknown((name, what): (&str, compile::Undefined)) -> String {
    match what {
        compile::Undefined::Filter(arguments) => format!("there is no function {}/{arguments}", shown(name)),
        other => format!("there is no {} {}", other.as_str(), shown(name)),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX_CHARS).collect()
}

/// The first error.
fn sentence(mut errors: impl Iterator<Item = String>) -> String {
    errors.next().filter(|error| !error.is_empty()).unwrap_or_else(|| "it is no filter".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_complete_in_itself() {
        assert_eq!(load::parse(DEFINITIONS, |parser| parser.defs()).map(|defs| defs.len()), Some(3));
        assert!(compiled(".").is_ok(), "{:?}", compiled(".").err());
    }

    #[test]
    fn a_mistake_is_named() {
        for (filter, wanted) in [
            (".[", "closing bracket is missing at its end"),
            (".a |", "term is missing at its end"),
            ("foo", "there is no function foo/0"),
            ("$x", "there is no variable $x"),
            ("0 | todate", "there is no function todate/0"),
            ("import \"a\" as a; .", "there are no modules, so a can't be included"),
        ] {
            assert_eq!(compiled(filter).err().as_deref(), Some(wanted), "{filter}");
        }
        assert!(compiled(&" ".repeat(FILTER_MAX_BYTES + 1)).is_err());
    }
}
