//! The digest of a configuration: SHA-256 of its values as JSON, so that comments, order and includes do not matter.
//!
//! The same as the official server's: keys by name, `<`, `>` and `&` escaped, floats in their shortest form, a new line at the end.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::{Kind, Map, Value};

/// `sha256:…` of the values.
pub fn digest(map: &Map) -> String {
    let mut json = String::new();
    write_map(map, &mut json);
    json.push('\n');
    format!("sha256:{}", data_encoding::HEXLOWER.encode(&Sha256::digest(json)))
}

fn write_map(map: &Map, out: &mut String) {
    out.push('{');
    for (i, entry) in map.sorted().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_text(&entry.key, out);
        out.push(':');
        write_value(&entry.value, out);
    }
    out.push('}');
}

fn write_value(value: &Value, out: &mut String) {
    match &value.kind {
        Kind::Map(map) => write_map(map, out),
        Kind::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        Kind::String(text) | Kind::Date(text) => write_text(text, out),
        Kind::Integer(n) | Kind::Millions(n) => out.push_str(&n.to_string()),
        Kind::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Kind::Float(f) => write_float(*f, out),
    }
}

/// Plain digits between 1e-6 and 1e21, else an exponent with its sign.
fn write_float(f: f64, out: &mut String) {
    let magnitude = f.abs();
    let written = if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{f:e}");
        if text.contains("e-") { write!(out, "{text}") } else { write!(out, "{}", text.replace('e', "e+")) }
    } else {
        write!(out, "{f}")
    };
    let _ = written;
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
