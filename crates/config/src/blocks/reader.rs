//! Reading one block by the table of keys: typed values out, everything wrong noted with its place.

use crate::blocks::keys::{self, Key, Off, Status};
use crate::error::{ConfigError, ErrorKind, Location, Position};
use crate::language::{Entry, Kind, Map, QUOTE_VARIABLE, Value};
use std::path::PathBuf;
use std::time::Duration;

/// A block that is being read.
pub(crate) struct Block<'a> {
    kind: &'static str,
    /// What is written there that has a meaning, in its order.
    entries: Vec<(&'static Key, &'a Entry)>,
}

/// What was wrong so far.
pub(crate) type Errors = Vec<ConfigError>;

/// What was noted so far.
#[derive(Default)]
pub(crate) struct Notes {
    /// What is wrong.
    pub(crate) errors: Errors,
    /// What is carried out and still looks like a mistake.
    pub(crate) doubts: Errors,
    /// What is accepted and has no effect.
    pub(crate) ignored: Errors,
}

impl<'a> Block<'a> {
    /// Begins to read a block. Keys that are unknown or refused are noted at once.
    pub(crate) fn new(kind: &'static str, map: &'a Map, errors: &mut Errors) -> Self {
        let mut entries = Vec::new();
        for entry in map.iter() {
            let key = keys::find(kind, &entry.key);
            entries.extend(key.map(|key| (key, entry)));
            match key.map(|key| key.status) {
                Some(Status::Reloads | Status::Restarts) => {}
                // Switching off what is not there is what happens anyway.
                Some(Status::Refused(_)) if key.is_some_and(|key| is_off(key.off(), &entry.value)) => {}
                Some(Status::Refused(why)) => {
                    let problem = format!("`{}` cannot be carried out: {why}", entry.key);
                    let error = ConfigError::new(&entry.at, problem).kind(ErrorKind::NotSupported);
                    errors.push(error.help("take it out, or use a server that has it"));
                }
                None if entry.variable => {}
                None => {
                    let error = ConfigError::new(&entry.at, format!("unknown field {:?}", entry.key));
                    errors.push(match keys::nearest(kind, &entry.key) {
                        Some(near) => error.help(format!("did you mean `{near}`?")),
                        None => error,
                    });
                }
            }
        }
        Self { kind, entries }
    }

    /// All that is written for a key, under whichever of its names.
    fn written(&self, name: &str) -> impl DoubleEndedIterator<Item = &'a Entry> {
        let meant = keys::find(self.kind, name);
        let is = move |key: &Key| meant.is_some_and(|meant| std::ptr::eq(meant, key));
        self.entries.iter().filter(move |(key, _)| is(key)).map(|(_, entry)| *entry)
    }

    /// The value of a key, whichever of its names was written.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        let mut written = self.written(name).rev();
        let last = written.next()?;
        // `PASS: x` that others refer to as `$PASS` gives way to a `password` that no one refers to.
        let meant = if last.variable { written.find(|entry| !entry.variable).unwrap_or(last) } else { last };
        Some(&meant.value)
    }

    /// Whether a key stands there for others to refer to it as `$KEY`.
    pub(crate) fn is_variable(&self, name: &str) -> bool {
        let mut written = self.written(name).peekable();
        written.peek().is_some() && written.all(|entry| entry.variable)
    }

    pub(crate) fn set<T>(
        &self,
        name: &str,
        slot: &mut T,
        errors: &mut Errors,
        read: impl FnOnce(&Value) -> Result<T, ConfigError>,
    ) {
        if let Some(value) = self.get(name) {
            match read(value) {
                Ok(value) => *slot = value,
                Err(error) => errors.push(error),
            }
        }
    }

    /// The same; the zero of the type means what the slot has, its default.
    pub(crate) fn set_or_default<T: Default + PartialEq>(
        &self,
        name: &str,
        slot: &mut T,
        notes: &mut Notes,
        read: impl FnOnce(&Value, &mut Notes) -> Result<T, ConfigError>,
    ) {
        let mut read_value = T::default();
        self.set_noting(name, &mut read_value, notes, read);
        if read_value != T::default() {
            *slot = read_value;
        }
    }

    /// The same as [`Self::set`], where the reader sees all that was noted.
    pub(crate) fn set_noting<T>(
        &self,
        name: &str,
        slot: &mut T,
        notes: &mut Notes,
        read: impl FnOnce(&Value, &mut Notes) -> Result<T, ConfigError>,
    ) {
        if let Some(value) = self.get(name) {
            match read(value, notes) {
                Ok(value) => *slot = value,
                Err(error) => notes.errors.push(error),
            }
        }
    }

    /// Reads `listen`, which wins over `host` and `port`.
    pub(crate) fn set_listen(&self, host: &mut String, port: &mut Option<u16>, errors: &mut Errors) {
        let read = self.get("listen").and_then(|value| noted(address(value), errors));
        if let Some((listen_host, listen_port)) = read {
            if let Some(name) = listen_host.filter(|name| !name.is_empty()) {
                *host = name;
            }
            *port = listen_port;
        }
    }

    /// The same for a block in the block: what is left of it without its errors.
    pub(crate) fn set_block<T>(
        &self,
        name: &str,
        slot: &mut T,
        notes: &mut Notes,
        read: impl FnOnce(&Value, &mut Notes) -> T,
    ) {
        if let Some(value) = self.get(name) {
            *slot = read(value, notes);
        }
    }
}

/// Whether a value asks for nothing.
fn is_off(off: Off, value: &Value) -> bool {
    let is_empty = |map: &Map| map.iter().next().is_none();
    match (&value.kind, off) {
        (Kind::Bool(on), Off::False | Off::Disabled) => !on,
        (Kind::Map(map), Off::Empty) => is_empty(map),
        (Kind::Map(map), Off::Disabled) => {
            let mut said = map.iter().filter(|entry| {
                ["enabled", "enable"].iter().any(|name| entry.key.eq_ignore_ascii_case(name))
            });
            said.next_back().is_some_and(|entry| boolean(&entry.value) == Ok(false))
        }
        (Kind::String(text), Off::Disabled) => {
            ["disabled", "disable"].contains(&text.to_ascii_lowercase().as_str())
        }
        _ => false,
    }
}

/// Where a top-level key stands, whichever of its names was written.
pub(crate) fn place<'a>(map: &'a Map, name: &str) -> Option<&'a Location> {
    let key = keys::find("", name)?;
    let is = |written: &str| keys::find("", written).is_some_and(|k| std::ptr::eq(k, key));
    map.iter().rev().find(|entry| is(&entry.key)).map(|entry| &entry.at)
}

fn wrong(value: &Value, expected: &str) -> ConfigError {
    ConfigError::new(&value.at, format!("expected {expected}, found {}", value.kind.name()))
}

pub(crate) fn boolean(value: &Value) -> Result<bool, ConfigError> {
    match &value.kind {
        Kind::Bool(b) => Ok(*b),
        Kind::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Ok(true),
            "false" | "no" | "off" => Ok(false),
            _ => Err(wrong(value, "true or false")),
        },
        _ => Err(wrong(value, "true or false")),
    }
}

pub(crate) fn integer(value: &Value) -> Result<i64, ConfigError> {
    match &value.kind {
        Kind::Integer(n) | Kind::Millions(n) => Ok(*n),
        _ => Err(wrong(value, "an integer")),
    }
}

/// A count or size that is not negative.
pub(crate) fn count(value: &Value) -> Result<usize, ConfigError> {
    let n = integer(value)?;
    usize::try_from(n)
        .map_err(|_| ConfigError::new(&value.at, format!("{n} is too small: 0 or more is expected")))
}

/// A limit: -1 is none, which the options write as 0.
pub(crate) fn limit(value: &Value) -> Result<usize, ConfigError> {
    Ok(usize::try_from(integer(value)?).unwrap_or(0))
}

pub(crate) fn text(value: &Value) -> Result<String, ConfigError> {
    match &value.kind {
        Kind::String(text) => Ok(text.clone()),
        Kind::Map(_) | Kind::Array(_) => Err(wrong(value, "a string")),
        _ if value.by_variable => Err(wrong(value, "a string").help(QUOTE_VARIABLE)),
        _ => Err(wrong(value, "a string").help("put it in quotes")),
    }
}

/// A string; an empty one is none.
pub(crate) fn optional(value: &Value) -> Result<Option<String>, ConfigError> {
    text(value).map(|text| Some(text).filter(|text| !text.is_empty()))
}

/// The path of a file or folder; an empty one is none.
pub(crate) fn path(value: &Value) -> Result<Option<PathBuf>, ConfigError> {
    optional(value).map(|path| path.map(PathBuf::from))
}

/// A user or token that is not empty: the official server takes an empty one for none at all and lets everybody in.
pub(crate) fn credential(value: &Value, what: &str) -> Result<String, ConfigError> {
    match text(value)? {
        text if text.is_empty() => Err(ConfigError::new(&value.at, format!("the {what} is empty"))
            .help("take it out if everybody may connect")),
        text => Ok(text),
    }
}

/// A string, or a list of them.
pub(crate) fn texts(value: &Value) -> Result<Vec<String>, ConfigError> {
    match &value.kind {
        Kind::Array(values) => values.iter().map(text).collect(),
        _ => text(value).map(|one| vec![one]),
    }
}

/// One string, as a list.
pub(crate) fn one_text(value: &Value) -> Result<Vec<String>, ConfigError> {
    text(value).map(|one| vec![one])
}

/// A list of strings, and not just one.
pub(crate) fn text_list(value: &Value) -> Result<Vec<String>, ConfigError> {
    array(value)?.iter().map(text).collect()
}

/// Where each of the values of [`texts`] stands.
pub(crate) fn places(value: &Value) -> Vec<Position> {
    match &value.kind {
        Kind::Array(values) => values.iter().map(|value| value.at.clone().into()).collect(),
        _ => vec![value.at.clone().into()],
    }
}

pub(crate) fn map(value: &Value) -> Result<&Map, ConfigError> {
    match &value.kind {
        Kind::Map(map) => Ok(map),
        _ => Err(wrong(value, "a map")),
    }
}

/// What `read` makes of each value, in a list without spare room: large configurations are many small lists.
pub(crate) fn each<T>(values: &[Value], read: impl FnMut(&Value) -> Option<T>) -> Vec<T> {
    let mut out = Vec::with_capacity(values.len());
    out.extend(values.iter().filter_map(read));
    out
}

pub(crate) fn array(value: &Value) -> Result<&[Value], ConfigError> {
    match &value.kind {
        Kind::Array(values) => Ok(values),
        _ => Err(wrong(value, "an array")),
    }
}

/// How long a peer that has not said who it is may keep its connection before that is doubted. The official figure.
const TIMEOUT_HIGH: Duration = Duration::from_secs(60);

/// The longest duration: that of Go, whose nanoseconds are a number of 64 bits with a sign.
const DURATION_MAX: Duration = Duration::from_nanos(i64::MAX as u64);

/// A duration such as `1m30s`, or a number of seconds.
pub(crate) fn duration(value: &Value) -> Result<Duration, ConfigError> {
    let seconds = |s: f64| Duration::try_from_secs_f64(s).ok();
    match &value.kind {
        Kind::Integer(n) => seconds(*n as f64),
        // `2m` is two million everywhere else; the official server takes it for two million seconds.
        Kind::Millions(n) => seconds(*n as f64 / 1e6 * 60.0),
        Kind::Float(n) => seconds(*n),
        Kind::String(text) => parse_duration(text),
        _ => None,
    }
    .filter(|duration| *duration <= DURATION_MAX)
    .ok_or_else(|| {
        ConfigError::new(&value.at, "expected a duration")
            .help("such as `500ms`, `2s`, `1m30s`, or seconds as a number")
    })
}

/// A duration where the official server takes no number of seconds. A bare `2m` is one all the same.
pub(crate) fn duration_text(value: &Value) -> Result<Duration, ConfigError> {
    match &value.kind {
        Kind::Integer(_) | Kind::Float(_) => {
            Err(wrong(value, "a duration").help("such as `500ms`, `2s` or `1m30s`"))
        }
        _ => duration(value),
    }
}

/// A duration where a whole number of seconds, an older way to write it, is taken and doubted.
pub(crate) fn duration_doubted(
    value: &Value,
    key: &str,
    doubts: &mut Errors,
) -> Result<Duration, ConfigError> {
    if matches!(value.kind, Kind::Integer(_) | Kind::Millions(_)) {
        let problem = format!("invalid use of field {key:?}: {key} should be converted to a duration");
        doubts.push(ConfigError::new(&value.at, problem).help("such as `2s`"));
        return duration(value);
    }
    duration_text(value)
}

/// How long a peer may take to say who it is; 0 means the default.
pub(crate) fn auth_timeout(value: &Value, doubts: &mut Errors) -> Result<Option<Duration>, ConfigError> {
    let timeout = duration(value)?;
    if timeout > TIMEOUT_HIGH {
        let problem = format!(
            "invalid use of field \"timeout\": timeout of {} is high, consider keeping it under 60 seconds",
            go_duration(timeout)
        );
        doubts.push(ConfigError::new(&value.at, problem));
    }
    Ok(Some(timeout).filter(|timeout| !timeout.is_zero()))
}

/// The same; zero means what others have.
pub(crate) fn optional_duration(
    value: &Value,
    key: &str,
    notes: &mut Notes,
) -> Result<Option<Duration>, ConfigError> {
    let read = duration_doubted(value, key, &mut notes.doubts)?;
    Ok(Some(read).filter(|read| !read.is_zero()))
}

/// A duration in the notation of Go.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|&at| at > 0)?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match rest.get(..unit_end)? {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += number * unit;
        rest = rest.get(unit_end..)?;
    }
    if text.is_empty() { None } else { Duration::try_from_secs_f64(total).ok() }
}

/// A duration in the notation of Go, such as `2m0s`, to the millisecond.
pub(crate) fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let rest = format!("{}", (seconds % 60) as f64 + f64::from(duration.subsec_millis()) / 1000.0);
    match (hours, minutes) {
        (0, 0) if seconds == 0 && duration.subsec_millis() > 0 => format!("{}ms", duration.subsec_millis()),
        (0, 0) => format!("{rest}s"),
        (0, minutes) => format!("{minutes}m{rest}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}s"),
    }
}

/// `host:port`, `:port`, or a port. -1 is a free port, and told as `None`.
pub(crate) fn address(value: &Value) -> Result<(Option<String>, Option<u16>), ConfigError> {
    let bad = |problem: String| {
        ConfigError::new(&value.at, problem).help("such as `4222`, `:4222` or `127.0.0.1:4222`")
    };
    match &value.kind {
        Kind::Integer(n) => {
            Ok((None, port_number(*n).ok_or_else(|| bad(format!("could not parse port \"{n}\"")))?))
        }
        Kind::String(text) => {
            let whole = || format!("could not parse address string {text:?}");
            let (host, port) = text.rsplit_once(':').ok_or_else(|| bad(whole()))?;
            let number = port.parse().ok().and_then(port_number);
            let port = number.ok_or_else(|| bad(format!("could not parse port {port:?}")))?;
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            // An IPv6 address must stand in brackets, or its last part would be the port.
            match bare {
                None if host.contains(':') => {
                    Err(bad(whole()).help("put an IPv6 address in brackets: `[::1]:4222`"))
                }
                _ => Ok((Some(bare.unwrap_or(host).to_owned()), port)),
            }
        }
        _ => Err(bad(format!("expected port or host:port, got {}", value.kind.name()))),
    }
}

/// What happens to a connection that takes nothing: whether it is kept. `None`: what is usual for its kind.
pub(crate) fn write_timeout(value: &Value) -> Result<Option<bool>, ConfigError> {
    match text(value)?.as_str() {
        "retry" => Ok(Some(true)),
        "close" => Ok(Some(false)),
        "default" => Ok(None),
        other => Err(ConfigError::new(&value.at, format!("write_timeout {other:?} is unknown"))
            .help("known are `default`, `close` and `retry`")),
    }
}

/// A port; -1 is a free one, and told as `None`.
pub(crate) fn port(value: &Value) -> Result<Option<u16>, ConfigError> {
    let n = integer(value)?;
    port_number(n).ok_or_else(|| ConfigError::new(&value.at, format!("{n} is no port")))
}

fn port_number(n: i64) -> Option<Option<u16>> {
    match n {
        -1 => Some(None),
        n => u16::try_from(n).ok().map(Some),
    }
}

/// The value, or nothing and the error noted.
pub(crate) fn noted<T>(read: Result<T, ConfigError>, errors: &mut Errors) -> Option<T> {
    read.map_err(|error| errors.push(error)).ok()
}
