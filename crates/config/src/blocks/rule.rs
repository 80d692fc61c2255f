//! What a reload does with a changed field, and how that is logged.

use crate::blocks::keys::Status;
use crate::blocks::reader::go_duration;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A part of the options that a reload gives a new value, in the order in which it is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Logging.
    Log,
    /// Who may connect, and what they may do.
    Users,
    /// Limits of connections.
    Limits,
    /// Certificates and what goes with them.
    Tls,
    /// What INFO and monitoring say of the server.
    Presentation,
    /// Lame duck mode, process files.
    Process,
    /// What holds for routes to other servers.
    Cluster,
    /// Which servers are connected to.
    Routes,
    /// Other clusters, and who of them may connect.
    Gateways,
    /// Leaf nodes, and servers that this one is a leaf node of.
    LeafNodes,
    /// Whether there is JetStream, and how much it may take.
    JetStream,
}

/// What a reload does with a field of type `T`.
pub(crate) enum Rule<T> {
    /// It carries the change out, in this part of the server, and logs it.
    Reloads(Change, LogForm<T>),
    /// It refuses the change: the name of the field in the official server's refusal, and the value in it.
    Restarts(&'static str, fn(&T) -> String),
    /// The block around it is compared as a whole.
    Within(Status),
}

/// How a change is logged.
pub(crate) enum LogForm<T> {
    /// `key = value`
    Value(fn(&T) -> String),
    /// A line that says what the value means.
    Said(fn(&T) -> String),
    /// These words alone.
    Words(&'static str),
    /// Lines that say what became of the old value.
    Lines(fn(&T, &T) -> Vec<String>),
    /// These words and the value.
    Named(&'static str, fn(&T) -> String),
}

/// A field that differs between two configurations.
pub(crate) struct Difference {
    /// What carries it out.
    pub(crate) change: Option<Change>,
    /// What is logged when it is carried out, a line each.
    pub(crate) lines: Vec<String>,
    /// Why it is not.
    pub(crate) refusal: Option<String>,
}

impl<T: PartialEq> Rule<T> {
    /// Where the key stands in the table of keys.
    pub(crate) const fn status(&self) -> Status {
        match self {
            Self::Reloads(..) => Status::Reloads,
            Self::Restarts(..) => Status::Restarts,
            Self::Within(status) => *status,
        }
    }

    /// Notes a difference, if the two values differ.
    pub(crate) fn compare(&self, key: &'static str, old: &T, new: &T, out: &mut Vec<Difference>) {
        if old == new {
            return;
        }
        let (change, lines, refusal) = match self {
            Self::Reloads(change, form) => (Some(*change), form.lines(key, old, new), None),
            Self::Restarts(name, show) => {
                let refusal =
                    format!("config reload not supported for {name}: old={}, new={}", show(old), show(new));
                (None, Vec::new(), Some(refusal))
            }
            Self::Within(_) => return,
        };
        out.push(Difference { change, lines, refusal });
    }
}

impl<T> LogForm<T> {
    fn lines(&self, key: &str, old: &T, new: &T) -> Vec<String> {
        vec![match self {
            Self::Value(show) => format!("{key} = {}", show(new)),
            Self::Said(say) => say(new),
            Self::Words(words) => (*words).to_owned(),
            Self::Lines(lines) => return lines(old, new),
            Self::Named(name, show) => format!("{name} = {}", show(new)),
        }]
    }
}

/// For what may hold secrets, or has no short form.
pub(crate) fn hidden<T>(_: &T) -> String {
    "…".into()
}

/// A value in the notation of Go.
pub(crate) fn show<T: Show>(value: &T) -> String {
    value.show()
}

/// What has a notation in Go.
pub(crate) trait Show {
    fn show(&self) -> String;
}

macro_rules! show {
    ($($kind:ty: $show:expr;)*) => {$(impl Show for $kind { fn show(&self) -> String { ($show)(self) } })*};
}

show! {
    String: |text: &String| text.clone();
    bool: |b: &bool| b.to_string();
    u32: |n: &u32| n.to_string();
    u64: |n: &u64| n.to_string();
    usize: |n: &usize| n.to_string();
    Duration: |d: &Duration| go_duration(*d);
    PathBuf: |p: &PathBuf| p.display().to_string();
    Vec<String>: |list: &Vec<String>| format!("[{}]", list.join(" "));
    BTreeMap<String, String>: |map: &BTreeMap<String, String>| {
        let entries: Vec<String> = map.iter().map(|(key, value)| format!("{key}:{value}")).collect();
        format!("map[{}]", entries.join(" "))
    };
}

impl<T: Show> Show for Option<T> {
    fn show(&self) -> String {
        self.as_ref().map(Show::show).unwrap_or_default()
    }
}
