//! What a bare word means: a number with a unit, a boolean, a date, or text.

use super::Kind;

/// Units and how often they multiply by 1000 or 1024.
const UNITS: [(&str, u32); 6] = [("k", 1), ("m", 2), ("g", 3), ("t", 4), ("p", 5), ("e", 6)];

/// Reads a bare word.
///
/// Errors: a number that does not fit.
pub(super) fn classify(word: &str) -> Result<Kind, &'static str> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => return Ok(Kind::Bool(true)),
        "false" | "no" | "off" => return Ok(Kind::Bool(false)),
        _ => {}
    }
    if is_date(word) {
        return Ok(Kind::Date(word.to_owned()));
    }
    let digits_end = word
        .char_indices()
        .find(|&(at, c)| !(c.is_ascii_digit() || (at == 0 && c == '-')))
        .map_or(word.len(), |(at, _)| at);
    let (digits, unit) = word.split_at(digits_end);
    if digits.is_empty() || digits == "-" {
        return Ok(Kind::String(word.to_owned()));
    }
    if unit.is_empty() || multiplier(unit).is_some() {
        let number: i64 = digits.parse().map_err(|_| "integer is out of range")?;
        let number = number.checked_mul(multiplier(unit).unwrap_or(1)).ok_or("integer is out of range")?;
        return Ok(Kind::Integer(number));
    }
    if let Some(fraction) = unit.strip_prefix('.')
        && !fraction.is_empty()
        && fraction.bytes().all(|b| b.is_ascii_digit())
    {
        return word.parse().map(Kind::Float).map_err(|_| "float is out of range");
    }
    Ok(Kind::String(word.to_owned()))
}

/// 1000 or 1024 to the power of the unit: `k` is 1000, `kb`, `ki` and `kib` are 1024.
fn multiplier(unit: &str) -> Option<i64> {
    let unit = unit.to_ascii_lowercase();
    let (letter, power) = UNITS.into_iter().find(|(letter, _)| unit.starts_with(letter))?;
    match unit.strip_prefix(letter)? {
        "" => 1000i64.checked_pow(power),
        "b" | "i" | "ib" => 1024i64.checked_pow(power),
        _ => None,
    }
}

/// `2006-01-02T15:04:05Z`
fn is_date(word: &str) -> bool {
    const FORM: &[u8] = b"0000-00-00T00:00:00Z";
    word.len() == FORM.len()
        && word.bytes().zip(FORM).all(|(b, &f)| if f == b'0' { b.is_ascii_digit() } else { b == f })
}
