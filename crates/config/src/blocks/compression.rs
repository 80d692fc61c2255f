//! Compression of connections between servers.

use super::reader::{self, Block, Notes, noted};
use super::rule::Rule::Within;
use super::{block, keys::Status::Reloads};
use crate::error::ConfigError;
use crate::language::{Kind, Value};
use std::time::Duration;

/// Round-trip times up to which `s2_auto` compresses not at all, fast, and better; beyond them it compresses best. The
/// official figures.
const RTT_THRESHOLDS: [Duration; 3] =
    [Duration::from_millis(10), Duration::from_millis(50), Duration::from_millis(100)];
/// Thresholds of `s2_auto`: for no compression, fast, better and best.
const RTT_THRESHOLDS_MAX: usize = 4;

/// How a connection to another server is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionMode {
    /// Nothing is said about it, as servers before 2.10 do.
    NotSupported,
    /// Not.
    Off,
    /// As the other end asks.
    Accept,
    /// S2 at its fastest.
    S2Fast,
    /// S2, slower and smaller.
    S2Better,
    /// S2 at its smallest.
    S2Best,
    /// By the round-trip time.
    S2Auto,
}

const MODES: [(&str, CompressionMode); 8] = [
    ("off", CompressionMode::Off),
    ("disabled", CompressionMode::Off),
    ("accept", CompressionMode::Accept),
    ("s2_fast", CompressionMode::S2Fast),
    ("s2_better", CompressionMode::S2Better),
    ("s2_best", CompressionMode::S2Best),
    ("s2_auto", CompressionMode::S2Auto),
    ("not supported", CompressionMode::NotSupported),
];

block! {
    /// Compression of connections to other servers.
    pub struct Compression in "compression" {
        mode: CompressionMode = CompressionMode::Accept,
            mode: "`off`, `accept` (as the other end asks), `s2_fast`, `s2_better`, `s2_best`, or `s2_auto` by the round-trip time.",
            by_hand (), Within(Reloads);
        /// 0: this one is not used. For no compression, fast, better and best, in this order.
        rtt_thresholds: Vec<Duration> = RTT_THRESHOLDS.to_vec(),
            rtt_thresholds | "thresholds" | "rtts" | "rtt":
            "Round-trip times of `s2_auto`, up to which it compresses not at all, fast, and better. Default 10ms, 50ms, 100ms.",
            by_hand (), Within(Reloads);
    }
}

impl Compression {
    /// Compression with the default thresholds.
    pub(crate) fn of(mode: CompressionMode) -> Self {
        Self { mode, ..Self::default() }
    }
}

/// Reads a mode, or a block. `on` is the mode that `true` stands for.
pub(crate) fn compression(
    value: &Value,
    default: CompressionMode,
    on: CompressionMode,
    notes: &mut Notes,
) -> Compression {
    let mut out = Compression::of(default);
    let Kind::Map(map) = &value.kind else {
        out.mode = noted(mode(value, default, on), &mut notes.errors).unwrap_or(default);
        return out;
    };
    let block = Block::new("compression", map, &mut notes.errors);
    block.set("mode", &mut out.mode, &mut notes.errors, |value| {
        // Only beside the block does a boolean stand for a mode.
        reader::text(value).and_then(|_| mode(value, default, on))
    });
    if let Some(value) = block.get("rtt_thresholds") {
        let read = thresholds(value, notes);
        if out.mode == CompressionMode::S2Auto && !read.is_empty() {
            out.rtt_thresholds = noted(checked(value, read), &mut notes.errors).unwrap_or_default();
        }
    }
    out
}

fn mode(
    value: &Value,
    default: CompressionMode,
    on: CompressionMode,
) -> Result<CompressionMode, ConfigError> {
    let name = match &value.kind {
        Kind::Bool(is_on) => return Ok(if *is_on { on } else { CompressionMode::Off }),
        _ => reader::text(value)?.to_ascii_lowercase(),
    };
    match name.as_str() {
        "" => Ok(default),
        "on" | "enabled" | "true" => Ok(on),
        "false" => Ok(CompressionMode::Off),
        "fast" => Ok(CompressionMode::S2Fast),
        "better" => Ok(CompressionMode::S2Better),
        "best" => Ok(CompressionMode::S2Best),
        "auto" => Ok(CompressionMode::S2Auto),
        name => MODES.iter().find(|(known, _)| *known == name).map(|&(_, mode)| mode).ok_or_else(|| {
            let known: Vec<String> = MODES.iter().map(|(known, _)| format!("`{known}`")).collect();
            ConfigError::new(&value.at, format!("unsupported compression mode {name:?}"))
                .help(format!("known are {}", known.join(", ")))
        }),
    }
}

/// A list of durations. What is negative is 0, as in the official server.
fn thresholds(value: &Value, notes: &mut Notes) -> Vec<Duration> {
    let values = noted(reader::array(value), &mut notes.errors).unwrap_or_default();
    let read = |value: &Value| match &value.kind {
        Kind::String(text)
            if text.strip_prefix('-').is_some_and(|span| reader::parse_duration(span).is_some()) =>
        {
            Ok(Duration::ZERO)
        }
        _ => reader::duration_text(value),
    };
    values.iter().filter_map(|value| noted(read(value), &mut notes.errors)).collect()
}

/// Thresholds without zeros at their end.
fn checked(value: &Value, mut list: Vec<Duration>) -> Result<Vec<Duration>, ConfigError> {
    list.truncate(list.iter().rposition(|span| !span.is_zero()).map_or(0, |last| last + 1));
    let used: Vec<&Duration> = list.iter().filter(|span| !span.is_zero()).collect();
    let problem = if list.is_empty() {
        "compression mode \"s2_auto\" requires at least one RTT threshold"
    } else if list.len() > RTT_THRESHOLDS_MAX {
        "compression mode \"s2_auto\" should have no more than 4 RTT thresholds"
    } else if !used.is_sorted() {
        "RTT threshold values should be in ascending order"
    } else {
        return Ok(list);
    };
    Err(ConfigError::new(&value.at, problem))
}
