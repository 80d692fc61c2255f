//! Makes tables of ratios out of pairs of samples, as text, as Markdown and as JSON.

use super::super::report::{bytes, duration, grouped};
use super::Measured;
use super::rows::{Figure, Goal};
use std::fmt::Write as _;
use std::time::Duration;

/// All figures: the name in JSON, what tables call it.
const FIGURES: [(Figure, &str, &str); 13] = [
    (Figure::Cpu, "cpu_ns_per_message", "server CPU a message"),
    (Figure::CpuFew, "cpu_ns_per_message_few", "server CPU a message, 1 k"),
    (Figure::Growth, "cpu_growth", "cost with many over few"),
    (Figure::Rate, "messages_per_second", "messages a second"),
    (Figure::P50, "p50_ns", "p50"),
    (Figure::P99, "p99_ns", "p99"),
    (Figure::P999, "p99.9_ns", "p99.9"),
    (Figure::Joined, "ns_until_joined", "time to join"),
    (Figure::StartTime, "cpu_ns_at_start", "CPU to start"),
    (Figure::StartMemory, "resident_bytes_at_start", "memory at start"),
    (Figure::Memory, "resident_bytes", "memory"),
    (Figure::MemoryEach, "bytes_each", "memory of each"),
    (Figure::OtherLoad, "other_load_cores", "cores busy with others"),
];

/// A figure of a row over all pairs.
struct Line {
    official: f64,
    ours: f64,
    /// Of the pairs' ratios.
    ratio: f64,
    ratio_min: f64,
    ratio_max: f64,
}

impl Line {
    fn of(measured: &Measured, figure: Figure) -> Option<Line> {
        let values: Vec<(f64, f64)> = measured
            .pairs
            .iter()
            .filter_map(|[official, ours]| Some((official.value(figure)?, ours.value(figure)?)))
            .collect();
        let ratios: Vec<f64> = values.iter().map(|(official, ours)| ours / official).collect();
        Some(Line {
            official: median(values.iter().map(|(official, _)| *official).collect())?,
            ours: median(values.iter().map(|(_, ours)| *ours).collect())?,
            ratio_min: ratios.iter().copied().reduce(f64::min)?,
            ratio_max: ratios.iter().copied().reduce(f64::max)?,
            ratio: median(ratios)?,
        })
    }

    fn ratio_text(&self, figure: Figure) -> String {
        if figure == Figure::OtherLoad { String::new() } else { format!("{:.2}", self.ratio) }
    }

    fn spread_text(&self, figure: Figure) -> String {
        match figure {
            Figure::OtherLoad => String::new(),
            _ => format!("{:.2}-{:.2}", self.ratio_min, self.ratio_max),
        }
    }

    fn meets(&self, goal: Goal) -> bool {
        match goal {
            Goal::Ratio(_, most) => self.ratio <= most,
            Goal::AtLeast(_, least) => self.ratio >= least,
            Goal::AtMost(_, most) => self.ours <= most,
        }
    }
}

/// A line for each figure of one row, as soon as it is measured.
pub fn progress(measured: &Measured) -> String {
    let mut text = String::new();
    for (figure, _, name) in FIGURES {
        let Some(line) = Line::of(measured, figure) else { continue };
        let _ = writeln!(
            text,
            "{:14} {name:26} {:>12} {:>12}   {:5} {}",
            measured.row.name,
            value(figure, line.official),
            value(figure, line.ours),
            line.ratio_text(figure),
            line.spread_text(figure),
        );
    }
    text
}

/// The table of goals, then the table of all other figures.
pub fn text(all: &[Measured], markdown: bool) -> String {
    let mut goals = Table::new(&["row", "figure", "official", "ours", "ratio", "spread", "goal", ""]);
    let mut others = Table::new(&["row", "figure", "official", "ours", "ratio", "spread"]);
    for measured in all {
        for (figure, _, name) in FIGURES {
            let Some(line) = Line::of(measured, figure) else { continue };
            let mut cells = vec![
                measured.row.title.to_owned(),
                name.to_owned(),
                value(figure, line.official),
                value(figure, line.ours),
                line.ratio_text(figure),
                line.spread_text(figure),
            ];
            match measured.row.goals.iter().find(|goal| goal.figure() == figure) {
                None => others.add(cells),
                Some(goal) => {
                    cells.push(match goal {
                        Goal::Ratio(_, most) => format!("{most:.2}"),
                        Goal::AtLeast(_, least) => format!("at least {least:.2}"),
                        Goal::AtMost(_, most) => value(figure, *most),
                    });
                    cells.push(if line.meets(*goal) { "met" } else { "missed" }.to_owned());
                    goals.add(cells);
                }
            }
        }
    }
    format!("{}\n{}", goals.text(markdown), others.text(markdown))
}

/// Every sample of every pair.
pub fn json(all: &[Measured]) -> serde_json::Value {
    let rows = all.iter().map(|measured| {
        let mut figures = serde_json::Map::new();
        for (figure, name, _) in FIGURES {
            let Some(line) = Line::of(measured, figure) else { continue };
            let samples = |side: usize| -> Vec<f64> {
                measured.pairs.iter().filter_map(|pair| pair.get(side)?.value(figure)).collect()
            };
            let goal = measured.row.goals.iter().find(|goal| goal.figure() == figure);
            figures.insert(
                name.to_owned(),
                serde_json::json!({
                    "official": samples(0), "ours": samples(1), "ratio": line.ratio,
                    "met": goal.map(|goal| line.meets(*goal)),
                }),
            );
        }
        serde_json::json!({ "row": measured.row.name, "figures": figures })
    });
    rows.collect()
}

fn value(figure: Figure, value: f64) -> String {
    match figure {
        Figure::Cpu | Figure::CpuFew => format!("{value:.0} ns"),
        Figure::Growth | Figure::OtherLoad => format!("{value:.2}"),
        Figure::Rate => grouped(value as u64),
        Figure::P50 | Figure::P99 | Figure::P999 | Figure::Joined | Figure::StartTime => {
            duration(Duration::from_nanos(value as u64))
        }
        Figure::StartMemory | Figure::Memory | Figure::MemoryEach => bytes(value),
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(match values.len() % 2 {
        1 => upper,
        _ => f64::midpoint(upper, *values.get(middle - 1)?),
    })
}

struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(head: &[&str]) -> Table {
        Table { rows: vec![head.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    fn add(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    fn text(&self, markdown: bool) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            if markdown {
                let _ = writeln!(text, "| {} |", cells.join(" | "));
                if number == 0 {
                    let rule: Vec<String> = widths.iter().map(|width| "-".repeat((*width).max(3))).collect();
                    let _ = writeln!(text, "| {} |", rule.join(" | "));
                }
            } else {
                let _ = writeln!(text, "{}", cells.join("  ").trim_end());
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn a_table_lines_up() {
        let mut table = Table::new(&["a", "long"]);
        table.add(vec!["µµµ".into(), "b".into()]);
        assert_eq!(table.text(false), "a    long\nµµµ  b\n");
        assert_eq!(table.text(true), "| a   | long |\n| --- | ---- |\n| µµµ | b    |\n");
    }
}
