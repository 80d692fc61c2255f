//! How a line looks.

use super::{Event, Level, escape};
use std::fmt::{Arguments, Write as _};

/// What a text line shows beside its text.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub(super) time: bool,
    pub(super) utc: bool,
    pub(super) colours: bool,
}

/// `[pid] 2006/01/02 15:04:05.000000 [INF] who - text`, and where `who` begins.
pub(super) fn text(form: Form, level: Level, who: &str, text: Arguments<'_>) -> (String, usize) {
    let mut line = String::with_capacity(128);
    // Writing to a String has no way to fail.
    let _ = write!(line, "[{}] ", std::process::id());
    if form.time {
        let zone = if form.utc { jiff::tz::TimeZone::UTC } else { jiff::tz::TimeZone::system() };
        let now = jiff::Timestamp::now().to_zoned(zone);
        let _ = write!(line, "{} ", now.strftime("%Y/%m/%d %H:%M:%S.%6f"));
    }
    let _ = if form.colours {
        write!(line, "[\x1b[{}m{}\x1b[0m] ", level.colour(), level.label())
    } else {
        write!(line, "[{}] ", level.label())
    };
    let start = line.len();
    if !who.is_empty() {
        let _ = write!(line, "{who} - ");
    }
    let _ = write!(line, "{text}");
    escape::text(&mut line, start);
    (line, start)
}

/// An object a line: `time`, `level`, `event`, what is known of the connection, `message`.
pub(super) fn json(event: Event, who: &str, text: Arguments<'_>) -> String {
    let mut object = serde_json::Map::new();
    let mut set = |key: &str, value: serde_json::Value| object.insert(key.into(), value);
    set("time", format!("{:.6}", jiff::Timestamp::now()).into());
    set("level", event.level().name().into());
    set("event", event.id().into());
    set("pid", std::process::id().into());
    if !who.is_empty() {
        set("connection", who.into());
        // `address - cid:5 - "v1:go:name" - "account/user"`, of which the ends may be missing.
        let mut parts = who.splitn(3, " - ");
        let address = parts.next().unwrap_or_default();
        if let Some(cid) = parts
            .next()
            .and_then(|p| p.strip_prefix("cid:").or_else(|| p.strip_prefix("wid:"))?.parse::<u64>().ok())
        {
            set("address", address.into());
            set("cid", cid.into());
        }
    }
    set("message", text.to_string().into());
    escape::json(serde_json::Value::Object(object).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_colours_but_is_not_steered() {
        let form = Form { time: false, utc: false, colours: true };
        let (line, start) = text(form, Level::Warn, "", format_args!("a\x1b[2Jb"));
        assert_eq!(line, format!("[{}] [\x1b[0;93mWRN\x1b[0m] a\\u{{1b}}[2Jb", std::process::id()));
        assert_eq!(&line[start..], "a\\u{1b}[2Jb");
    }

    #[test]
    fn json_tells_the_connection_apart() {
        let line = json(Event::ClientCreated, r#"[::1]:7 - cid:5 - "v1:go:a - b""#, format_args!("hello"));
        let line: serde_json::Value = serde_json::from_str(&line).expect("json");
        assert_eq!(
            (&line["cid"], &line["address"], &line["message"]),
            (&5.into(), &"[::1]:7".into(), &"hello".into())
        );
        assert_eq!(line["connection"], r#"[::1]:7 - cid:5 - "v1:go:a - b""#);
    }
}
