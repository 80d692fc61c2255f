//! What a server makes of a server of another cluster, which here is a script.

use crate::churn::{Churn, FILTERS, View};
use crate::common::waiting::{Bounded, NextLine};
use crate::common::{options, start};
use dialtone_server::policy::ListenerKind;
use std::io::{BufReader, Write};
use std::net::TcpStream;

/// What another cluster is told from the beginning comes a piece at a time, the next when it has taken the last, between the two commands
/// that say where it begins and ends; what changes meanwhile is told as well. Of a queue group it is told that there is one.
#[test]
fn another_cluster_is_told_a_piece_at_a_time_and_all_that_changes_meanwhile() {
    let server = start(options("no_system_account: true, gateway { name: A, listen: 'localhost:-1' }"));
    let mut churn = Churn::begin(&server, 7);
    let port = server.node().settings.identity.port(ListenerKind::Gateway);
    let mut other = BufReader::new(TcpStream::connect(("localhost", port)).expect("connected").bounded());
    let send = |other: &mut BufReader<TcpStream>, text: &str| {
        other.get_mut().write_all(text.as_bytes()).expect("sent");
    };
    let info = "{\"server_id\":\"OTHER\",\"server_name\":\"other\",\"version\":\"2.15.0\",\"proto\":3,\"gateway\":\"B\",\
                \"gateway_nrp\":true,\"gateway_iom\":true}";
    send(&mut other, &format!("CONNECT {{\"name\":\"OTHER\",\"gateway\":\"B\"}}\r\nINFO {info}\r\n"));
    let (mut view, mut pieces) = (View::new(), 0);
    // Where all interest of the account begins, and where it ends.
    let (mut begins, mut ends) = (0, 0);
    let mut hear = |other: &mut BufReader<TcpStream>, view: &mut View| {
        send(other, "PING\r\n");
        let (mut asked, mut bytes) = (0, 0);
        loop {
            let line = other.next_line();
            bytes += line.len();
            match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["PONG"] => return (asked, bytes, (begins, ends)),
                ["PING"] => asked += 1,
                ["INFO", json] => {
                    begins += u32::from(json.contains("\"gateway_cmd\":2"));
                    ends += u32::from(json.contains("\"gateway_cmd\":3"));
                }
                [verb, "$G", rest @ ..] => {
                    assert!(crate::churn::take(view, &[&[*verb], rest].concat()), "{line}")
                }
                _ => panic!("{line}"),
            }
        }
    };
    loop {
        let (asked, bytes, between) = hear(&mut other, &mut view);
        if asked == 0 {
            assert_eq!(between, (1, 1));
            break;
        }
        pieces += 1;
        assert!(bytes < 512 * 1024, "{bytes} bytes at once");
        assert!(pieces > 1 || view.len() < FILTERS as usize / 2, "{} at once", view.len());
        assert!(pieces > 1 || between == (1, 0), "{between:?}");
        churn.go_on();
        let (asked_then, bytes, _) = hear(&mut other, &mut view);
        assert!(bytes < 64 * 1024, "{bytes} bytes unasked");
        send(&mut other, &"PONG\r\n".repeat(asked + asked_then));
    }
    let expected = churn.expected(1, |_| true);
    assert!(view == expected, "{} told, {} expected", view.len(), expected.len());
    assert!(pieces > 1, "{pieces}");
    server.stop();
}
