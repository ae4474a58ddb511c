//! EUIs as ChirpStack writes them: 16 lower-case hexadecimal digits.

/// Digits of an EUI: 64 bits.
const EUI_DIGITS: usize = 16;

/// The text is not 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an EUI is 16 hexadecimal digits")]
pub struct InvalidEui;

/// The EUI in lower case. ChirpStack answers a malformed one with an internal error, so it is refused before a call.
pub fn normalise_eui(text: &str) -> Result<String, InvalidEui> {
    let is_eui = text.len() == EUI_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_eui.then(|| text.to_ascii_lowercase()).ok_or(InvalidEui)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eui_is_sixteen_digits_in_lower_case() {
        assert_eq!(normalise_eui("0102030405060aBC").as_deref(), Ok("0102030405060abc"));
        for wrong in ["", "010203", "0102030405060abcd", "0102030405060abg", "01:02:03:04:05:06:"] {
            assert_eq!(normalise_eui(wrong), Err(InvalidEui), "{wrong}");
        }
    }
}
