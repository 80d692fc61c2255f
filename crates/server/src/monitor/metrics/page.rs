//! docs/metrics.md, made from the table of series.

#![cfg(test)]

use super::table::TABLE;
use std::fmt::Write as _;

const HEAD: &str = "\
# Metrics

<!-- Made from crates/server/src/monitor/metrics/table.rs; `UPDATE_EXPECT=1 cargo test metrics` writes it again. -->

`/metrics` on the monitoring port has these series in the text format of Prometheus. Their number is bounded: the thousand accounts
with the most messages have series of their own, and all others together are the account `other`. `account` is an account's name,
and in operator mode its public key; `account_name` is the name in its JWT. Of the links to other servers those of a `kind` to one
`remote` are one: `remote` is the name of the other server, and of a gateway that of the other cluster. The first hundred by name
have series of their own, of each kind, and all others are the remote `other`. The hundred streams with most bytes and the hundred
consumers with most messages to deliver have series of their own, and all others together are `other`.

A counter counts from the start of the process.

| series | type | labels | meaning |
|---|---|---|---|
";

fn page() -> String {
    let mut out = HEAD.to_owned();
    for series in TABLE {
        let labels: Vec<String> = series.labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing to a String has no way to fail.
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} |",
            series.name,
            series.kind.name(),
            labels.join(", "),
            series.help
        );
    }
    out
}

#[test]
fn the_page_of_metrics_is_the_table() {
    expect_test::expect_file!["../../../../../docs/metrics.md"].assert_eq(&page());
}

#[test]
fn names_of_series_are_unique_and_say_their_unit() {
    let mut names: Vec<&str> = TABLE.iter().map(|series| series.name).collect();
    for series in TABLE {
        // The convention of Prometheus: what only grows ends so, and nothing else does.
        let is_counter = matches!(series.kind, super::table::Kind::Counter);
        assert_eq!(series.name.ends_with("_total"), is_counter, "{}", series.name);
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TABLE.len());
}
