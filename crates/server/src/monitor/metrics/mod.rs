//! `/metrics`: the text format of Prometheus. The series stand in [`table`], from which docs/metrics.md is made too.
//!
//! The number of series depends on the number of accounts and of other servers, and is bounded: the accounts with the most messages have
//! series of their own, and so have the largest streams and consumers.

mod links;
mod mqtt;
mod page;
mod streams;
mod table;

use crate::node::Node;
use dialtone_broker::account::Account;
use dialtone_broker::stats::Traffic;
use links::LinkRow;
use mqtt::MqttRow;
use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;
use streams::StreamRows;
use table::TABLE;

/// Accounts with series of their own; the others are summed up as `other`.
const ACCOUNTS_MAX: usize = 1000;

/// Figures that several series are made of, taken once for each answer.
struct Reading<'a> {
    node: &'a Node,
    traffic: Traffic,
    accounts: Vec<AccountRow>,
    links: Vec<LinkRow>,
    streams: StreamRows,
    mqtt: MqttRow,
}

/// An account, or the sum of those that have no series of their own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct AccountRow {
    account: String,
    name: String,
    figures: Figures,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Figures {
    connections: u64,
    subscriptions: u64,
    in_msgs: u64,
    in_bytes: u64,
    refused_msgs: u64,
    delayed_msgs: u64,
    out_msgs: u64,
    out_bytes: u64,
}

/// Where the values of one series go.
struct Sink<'a> {
    out: &'a mut String,
    name: &'static str,
    labels: &'static [&'static str],
}

impl Sink<'_> {
    /// One value, with a value for each of the labels of its series.
    fn put(&mut self, labels: &[&str], value: f64) {
        debug_assert_eq!(labels.len(), self.labels.len(), "{}", self.name);
        // Writing to a String has no way to fail.
        let _ = write!(self.out, "{}", self.name);
        for (at, (name, value)) in self.labels.iter().zip(labels).enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let _ = write!(self.out, "{before}{name}=\"{}\"", escaped(value));
        }
        let end = if self.labels.is_empty() { "" } else { "}" };
        let _ = match value {
            f64::INFINITY => writeln!(self.out, "{end} +Inf"),
            value => writeln!(self.out, "{end} {value}"),
        };
    }
}

pub(super) fn metrics(node: &Node) -> String {
    let accounts = node.accounts.all();
    let rows = accounts.iter().map(|account| AccountRow::of(node, account)).collect();
    let reading = Reading {
        node,
        traffic: node.delivery.totals.traffic(),
        accounts: bounded(rows, ACCOUNTS_MAX),
        links: links::rows(node),
        streams: streams::rows(node),
        mqtt: mqtt::row(node),
    };
    let mut out = String::new();
    for series in TABLE {
        let name = series.name;
        let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {}", series.help, series.kind.name());
        (series.read)(&reading, &mut Sink { out: &mut out, name, labels: series.labels });
    }
    out
}

impl AccountRow {
    fn of(node: &Node, account: &Account) -> Self {
        let traffic = account.counters.read();
        let figures = Figures {
            connections: u64::from(account.connections()),
            subscriptions: account.subscriptions() as u64,
            in_msgs: traffic.in_msgs,
            in_bytes: traffic.in_bytes,
            refused_msgs: account.refused_msgs.load(Relaxed),
            delayed_msgs: account.delayed_msgs.load(Relaxed),
            out_msgs: traffic.out_msgs,
            out_bytes: traffic.out_bytes,
        };
        Self { account: account.name.to_string(), name: node.accounts.name_of(&account.name), figures }
    }
}

impl Figures {
    fn add(&mut self, other: &Self) {
        for (sum, n) in [
            (&mut self.connections, other.connections),
            (&mut self.subscriptions, other.subscriptions),
            (&mut self.in_msgs, other.in_msgs),
            (&mut self.in_bytes, other.in_bytes),
            (&mut self.refused_msgs, other.refused_msgs),
            (&mut self.delayed_msgs, other.delayed_msgs),
            (&mut self.out_msgs, other.out_msgs),
            (&mut self.out_bytes, other.out_bytes),
        ] {
            *sum = sum.saturating_add(n);
        }
    }
}

/// At most `max` rows: those with the most messages, by name, and the sum of all others.
fn bounded(mut rows: Vec<AccountRow>, max: usize) -> Vec<AccountRow> {
    if rows.len() <= max {
        return rows;
    }
    let messages = |row: &AccountRow| row.figures.in_msgs.saturating_add(row.figures.out_msgs);
    rows.sort_by_key(|row| std::cmp::Reverse(messages(row)));
    let mut others = Figures::default();
    rows.drain(max..).for_each(|row| others.add(&row.figures));
    rows.sort_unstable();
    rows.push(AccountRow { account: "other".into(), name: "other".into(), figures: others });
    rows
}

/// A label's value in quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, in_msgs: u64, out_msgs: u64) -> AccountRow {
        let figures = Figures { connections: 1, in_msgs, out_msgs, ..Figures::default() };
        AccountRow { account: name.to_owned(), name: name.to_owned(), figures }
    }

    #[test]
    fn the_busiest_accounts_have_series_and_the_others_are_one() {
        let all = vec![row("a", 1, 0), row("b", 0, 9), row("c", 5, 5), row("d", 2, 0)];
        let mut other = row("other", 3, 0);
        other.figures.connections = 2;
        assert_eq!(bounded(all.clone(), 2), [row("b", 0, 9), row("c", 5, 5), other]);
        assert_eq!(bounded(all.clone(), 4), all);
    }

    #[test]
    fn names_are_escaped_and_no_limit_is_infinite() {
        let mut out = String::new();
        Sink { out: &mut out, name: "x", labels: &["a", "b"] }.put(&["q\"\\\n", ""], 2.0);
        Sink { out: &mut out, name: "y", labels: &[] }.put(&[], f64::INFINITY);
        assert_eq!(out, "x{a=\"q\\\"\\\\\\n\",b=\"\"} 2\ny +Inf\n");
    }
}
