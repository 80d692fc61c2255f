//! Runs one scenario against a server and prints what it carried, for people or as JSON.

use super::args::Options;
use super::load::Carried;
use super::process::{Memory, Process};
use super::progress::Progress;
use super::stop::Stop;
use anyhow::Result;
use std::fmt::Write as _;
use std::time::Duration;

/// What the server spent on a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// CPU time, all threads, user and kernel.
    pub cpu: Duration,
    /// Memory before the load's connections were opened.
    pub before: Memory,
    /// Memory after the run, connections still open.
    pub after: Memory,
}

/// Runs what the options ask for and prints the result on standard output.
pub fn measure_and_print(options: &Options) -> Result<()> {
    let server = options.pid.map(|pid| Process { pid });
    let before = server.map(|server| server.memory()).transpose()?.unwrap_or_default();
    let mut load = options.scenario.open(&options.target)?;
    if let Some(warmup) = options.warmup {
        load.run(Stop::After(warmup), &mut Progress::silent())?;
    }
    let mut progress =
        if options.progress { Progress::on_terminal(options.mode) } else { Progress::silent() };
    let cpu_before = server.map(|server| server.cpu_time()).transpose()?;
    let carried = load.run(options.stop, &mut progress);
    progress.finish();
    let carried = carried?;
    let spent = match (server, cpu_before) {
        (Some(server), Some(cpu_before)) => {
            let cpu = server.cpu_time()?.saturating_sub(cpu_before);
            Some(Spent { cpu, before, after: server.memory()? })
        }
        _ => None,
    };
    if options.json {
        println!("{}", json(options.mode, &carried, spent));
    } else {
        print!("{}", table(options.mode, &carried, spent));
    }
    Ok(())
}

/// Percentiles that are told, with their names in JSON.
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

fn json(mode: &str, carried: &Carried, spent: Option<Spent>) -> serde_json::Value {
    let mut value = serde_json::json!({
        "mode": mode,
        "published": carried.published,
        "delivered": carried.delivered,
        "messages": carried.messages,
        "idle_connections": carried.idle,
        "payload_bytes": carried.payload_bytes,
        "seconds": carried.elapsed.as_secs_f64(),
        "messages_per_second": carried.rate(),
        "payload_bytes_per_second": carried.payload_rate(),
    });
    if let Some(latency) = &carried.latency {
        let mut nanos = serde_json::Map::new();
        for (name, quantile) in QUANTILES {
            nanos.insert(name.to_owned(), (latency.quantile(quantile).as_nanos() as u64).into());
        }
        nanos.insert("max".to_owned(), (latency.max().as_nanos() as u64).into());
        value["latency_ns"] = nanos.into();
    }
    if let Some(spent) = spent {
        value["server"] = serde_json::json!({
            "cpu_ns": spent.cpu.as_nanos() as u64,
            "cpu_ns_per_message": spent.cpu.as_nanos() as f64 / carried.messages.max(1) as f64,
            "resident_bytes_before": spent.before.resident,
            "resident_bytes": spent.after.resident,
            "resident_bytes_peak": spent.after.peak,
        });
    }
    value
}

fn table(mode: &str, carried: &Carried, spent: Option<Spent>) -> String {
    let mut rows = carried_rows(carried);
    if let Some(spent) = spent {
        rows.extend(spent_rows(carried, spent));
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = format!("{mode}\n");
    for (name, value) in rows {
        let _ = writeln!(text, "  {name:width$}  {value}");
    }
    text
}

fn carried_rows(carried: &Carried) -> Vec<(&'static str, String)> {
    let mut rows = vec![("time", format!("{:.3} s", carried.elapsed.as_secs_f64()))];
    if carried.idle > 0 {
        rows.push(("idle connections", grouped(carried.idle)));
        return rows;
    }
    let (published, delivered) = (grouped(carried.published), grouped(carried.delivered));
    rows.push((
        "messages",
        format!("{} (published {published}, delivered {delivered})", grouped(carried.messages)),
    ));
    rows.push(("rate", format!("{} msg/s", grouped(carried.rate() as u64))));
    rows.push(("payload", format!("{}/s", bytes(carried.payload_rate()))));
    if let Some(latency) = &carried.latency {
        rows.extend(QUANTILES.map(|(name, quantile)| (name, duration(latency.quantile(quantile)))));
        rows.push(("max", duration(latency.max())));
    }
    rows
}

fn spent_rows(carried: &Carried, spent: Spent) -> Vec<(&'static str, String)> {
    let resident = spent.after.resident as f64;
    let grown = resident - spent.before.resident as f64;
    let memory =
        format!("{}, peak {}, grown by {}", bytes(resident), bytes(spent.after.peak as f64), bytes(grown));
    let mut cpu = format!("{:.3} s", spent.cpu.as_secs_f64());
    if carried.messages > 0 {
        let _ = write!(cpu, ", {:.0} ns/msg", spent.cpu.as_nanos() as f64 / carried.messages as f64);
    }
    let mut rows = vec![("server CPU", cpu), ("server memory", memory)];
    if carried.idle > 0 {
        rows.push(("of each connection", bytes(grown / carried.idle as f64)));
    }
    rows
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes with a unit that keeps the number short.
pub fn bytes(count: f64) -> String {
    match count.abs() {
        size if size < 1024.0 => format!("{count:.0} B"),
        size if size < 1024.0 * 1024.0 => format!("{:.1} KiB", count / 1024.0),
        size if size < 1024.0 * 1024.0 * 1024.0 => format!("{:.1} MiB", count / 1024.0 / 1024.0),
        _ => format!("{:.2} GiB", count / 1024.0 / 1024.0 / 1024.0),
    }
}

/// A duration with a unit that keeps the number short.
pub fn duration(time: Duration) -> String {
    let micros = time.as_nanos() as f64 / 1000.0;
    match micros {
        short if short < 1000.0 => format!("{micros:.1} µs"),
        middle if middle < 1_000_000.0 => format!("{:.2} ms", micros / 1000.0),
        _ => format!("{:.2} s", micros / 1_000_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            [grouped(7), grouped(1_234), grouped(123_456), grouped(1_234_567)],
            ["7", "1,234", "123,456", "1,234,567"]
        );
        assert_eq!([bytes(12.0), bytes(-2048.0), bytes(3.5e6)], ["12 B", "-2.0 KiB", "3.3 MiB"]);
        assert_eq!(
            [duration(Duration::from_nanos(1500)), duration(Duration::from_millis(2))],
            ["1.5 µs", "2.00 ms"]
        );
    }

    #[test]
    fn json_and_table_tell_the_same() {
        let carried = Carried {
            published: 10,
            delivered: 20,
            messages: 20,
            payload_bytes: 320,
            idle: 0,
            elapsed: Duration::from_secs(2),
            latency: None,
        };
        let spent = Some(Spent { cpu: Duration::from_micros(2), ..Spent::default() });
        assert_eq!(json("m", &carried, spent)["server"]["cpu_ns_per_message"], 100.0);
        assert!(table("m", &carried, spent).contains("100 ns/msg"));
    }
}
