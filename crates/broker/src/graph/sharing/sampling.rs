//! Which requests have their latency reported: so many of a hundred, or those whose headers ask for it.
//!
//! The headers are those of Jaeger (`Uber-Trace-Id`), Zipkin (`X-B3-…`, `B3`) and W3C (`Traceparent`).

use dialtone_config::sharing::Sampling;
use dialtone_subject::transform::Random;
use dialtone_wire::header;

/// Headers by name, each with its values.
pub type Headers = Vec<(String, Vec<String>)>;

/// Whether the latency of a request is reported; if its headers asked for it, with these.
pub(crate) fn sampled(sampling: Sampling, block: &[u8], random: &mut impl Random) -> Option<Headers> {
    match sampling {
        Sampling::Percent(100..) => Some(Headers::new()),
        // As the official server draws it: at most, not below.
        Sampling::Percent(percent) if random.next() % 100 <= u32::from(percent) => Some(Headers::new()),
        Sampling::Percent(_) | Sampling::Headers => asked(block),
    }
}

/// The headers that ask for it, if some do. The first kind that is there decides.
fn asked(block: &[u8]) -> Option<Headers> {
    let first = |name: &str| text(header::value(block, name.as_bytes()));
    let taken = |names: &[&str]| {
        let all = |name: &&str| -> Vec<String> {
            let same = header::lines(block).filter(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()));
            same.filter_map(|(_, value)| text(Some(value))).collect()
        };
        let named = names.iter().map(|name| ((*name).to_owned(), all(name)));
        named.filter(|(_, values)| !values.is_empty()).collect::<Headers>()
    };
    if let Some(id) = first("Uber-Trace-Id") {
        let mut headers = taken(&["Uber-Trace-Id"]);
        headers.extend(baggage(block));
        return is_flagged(id.split(':').nth(3), id.split(':').count() == 4, 1).then_some(headers);
    }
    const ZIPKIN: [&str; 4] = ["X-B3-Sampled", "X-B3-Traceid", "X-B3-Parentspanid", "X-B3-Spanid"];
    match first("X-B3-Sampled").as_deref() {
        Some("1") => return Some(taken(&ZIPKIN)),
        Some("0") => return None,
        _ => {}
    }
    if first("X-B3-Traceid").is_some() {
        return Some(taken(&ZIPKIN));
    }
    if let Some(b3) = first("B3") {
        let denied = b3 == "0" || b3.split('-').nth(2) == Some("0");
        return (!denied).then(|| taken(&["B3"]));
    }
    let parent = first("Traceparent")?;
    let asks = is_flagged(parent.split('-').nth(3), parent.split('-').count() == 4, 2);
    asks.then(|| taken(&["Traceparent", "Tracestate"]))
}

/// Whether the last bit of hexadecimal flags is set; they have at least so many digits, at most two.
fn is_flagged(flags: Option<&str>, whole: bool, digits_min: usize) -> bool {
    let flags = flags.filter(|flags| whole && (digits_min..=2).contains(&flags.len()));
    flags.and_then(|flags| u8::from_str_radix(flags, 16).ok()).is_some_and(|flags| flags & 1 == 1)
}

/// What Jaeger carries along.
fn baggage(block: &[u8]) -> Headers {
    const PREFIX: &[u8] = b"uberctx-";
    let carried = header::lines(block)
        .filter(|(key, _)| key.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX)));
    carried.filter_map(|(key, value)| Some((canonical(key)?, vec![text(Some(value))?]))).collect()
}

/// A header's name with a capital after each hyphen, as it is reported.
fn canonical(key: &[u8]) -> Option<String> {
    let mut begins = true;
    let letter = |c: char| {
        let out = if begins { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        begins = c == '-';
        out
    };
    Some(std::str::from_utf8(key).ok()?.chars().map(letter).collect())
}

fn text(value: Option<&[u8]>) -> Option<String> {
    Some(std::str::from_utf8(value?).ok()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the headers that ask for it; `-`: none do.
    #[track_caller]
    fn check(headers: &str, expected: &str) {
        let block = format!("NATS/1.0\r\n{}\r\n\r\n", headers.replace(';', "\r\n"));
        let found = sampled(Sampling::Headers, block.as_bytes(), &mut || 0);
        let names = found.map(|h| h.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" "));
        assert_eq!(names.as_deref().unwrap_or("-"), expected, "{headers}");
    }

    #[test]
    fn headers_of_all_kinds_ask() {
        check("uber-trace-id: 479f:5adb:479f:1;uberctx-a: b", "Uber-Trace-Id Uberctx-A");
        check("Uber-Trace-Id: 479f:5adb:479f:01", "Uber-Trace-Id");
        check("Uber-Trace-Id: 479f:5adb:479f:2", "-");
        check("Uber-Trace-Id: 479f:5adb:1", "-");
        check("X-B3-Sampled: 1;X-B3-TraceId: 80f1", "X-B3-Sampled X-B3-Traceid");
        check("X-B3-Sampled: 0;X-B3-TraceId: 80f1", "-");
        check("X-B3-TraceId: 80f1", "X-B3-Traceid");
        check("b3: 80f1-e457-1-05e3", "B3");
        check("b3: 80f1-e457", "B3");
        check("b3: 80f1-e457-0", "-");
        check("b3: 0", "-");
        check("traceparent: 00-4bf9-00f0-01;tracestate: x", "Traceparent Tracestate");
        check("traceparent: 00-4bf9-00f0-00", "-");
        check("traceparent: 00-4bf9-00f0-1", "-");
        check("x: y", "-");
    }

    #[test]
    fn a_share_is_drawn_and_headers_ask_beside_it() {
        let of = |percent, drawn: u32, block: &[u8]| {
            sampled(Sampling::Percent(percent), block, &mut || drawn).is_some()
        };
        assert!(of(100, 99, b"") && of(10, 10, b"") && !of(10, 11, b""));
        assert!(of(10, 99, b"NATS/1.0\r\nB3: 1\r\n\r\n"));
    }
}
