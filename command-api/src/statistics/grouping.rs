//! `group_by`, and callers who may see only some of the devices.

use crate::caller::Caller;
use crate::http::Problem;
use crate::http::query::refused;

/// The words of `group_by`, separated by commas, each once.
pub(crate) fn grouped_by<T: Copy + PartialEq, const N: usize>(
    text: Option<&str>,
    all: [T; N],
    word: impl Fn(T) -> &'static str,
) -> Result<Vec<T>, Problem> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let mut chosen = Vec::new();
    for wanted in text.split(',') {
        match all.into_iter().find(|one| word(*one) == wanted) {
            Some(one) if !chosen.contains(&one) => chosen.push(one),
            Some(_) => return Err(refused("group_by", &format!("has {wanted} twice"))),
            None => {
                let words: Vec<&str> = all.into_iter().map(&word).collect();
                return Err(refused(
                    "group_by",
                    &format!("is one or more of {}, separated by commas", words.join(", ")),
                ));
            }
        }
    }
    Ok(chosen)
}

/// Refuses a caller whose role holds for some devices only: the figures are sums over all devices of the tenant.
pub(crate) fn limited(caller: &Caller, what: &str) -> Result<(), Problem> {
    if caller.limits.is_none() {
        return Ok(());
    }
    let detail = format!("{what} counts all devices of the tenant, and your role holds only for some of them");
    Err(Problem::forbidden(detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Vec<&'static str>, String> {
        grouped_by(Some(text), ["code", "wave"], |word| word).map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn groups_are_words_of_a_list_each_once() {
        assert_eq!(words("wave,code").unwrap(), ["wave", "code"]);
        for wrong in ["", "wave,", "Wave", "wave code", "wave,wave", "tenant", "code;--"] {
            assert!(words(wrong).unwrap_err().starts_with("group_by"), "{wrong}");
        }
        assert_eq!(grouped_by(None, ["code"], |word| word).unwrap(), Vec::<&str>::new());
    }
}
