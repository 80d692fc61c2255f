//! Every path of the official monitoring port answers each of its parameters as the official server does: a checklist made
//! of a table.

use super::{ENDPOINTS, answer};
use crate::Server;
use crate::monitor::query::Query;

/// A line: the request, the status, and for a refusal its text.
fn lines() -> impl Iterator<Item = (&'static str, u16, &'static str)> {
    let table = include_str!("official_requests.txt");
    let said = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    said.map(|line| {
        let (request, answer) = line.split_once(' ').expect(line);
        let (status, text) = answer.split_once(' ').unwrap_or((answer, ""));
        (request, status.parse().expect(line), text)
    })
}

#[test]
fn every_parameter_is_answered_as_by_the_official_server() {
    let server = Server::builder().in_process_only().quiet().start().expect("started");
    for (request, status, text) in lines() {
        let (path, query) = request.split_once('?').unwrap_or((request, ""));
        let answer = answer(server.node(), path, &Query::parse(query));
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        let said = if status == 200 { "" } else { body.trim() };
        assert_eq!((answer.status, said), (status, text), "{request}");
    }
    server.stop();
}

#[test]
fn every_path_is_in_the_table() {
    let ours = ["/slowz", "/metrics", "/expvarz"];
    for endpoint in ENDPOINTS.iter().filter(|endpoint| !ours.contains(&endpoint.path)) {
        assert!(lines().any(|(request, ..)| request == endpoint.path), "{}", endpoint.path);
    }
    let paths = lines().filter(|(request, ..)| !request.contains('?')).count();
    assert_eq!(paths, 16, "15 paths and another name for one");
}
