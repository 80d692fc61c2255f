//! INFO and CONNECT as official servers write them on gateway connections.

use super::*;
use crate::interserver::JsonError;
use proptest::prelude::*;

/// 2.15.0.
const INFO: &str = concat!(
    r#"{"server_id":"NBFJHK5CBPJR4OR7342FN3FVXR4562BOYBCKIPOLOOHUMFIMIRGX7TNI","server_name":"x","version":"2.15.0","#,
    r#""proto":3,"go":"","host":"127.0.0.1","port":15333,"headers":true,"max_payload":1048576,"gateway":"X","#,
    r#""gateway_urls":["127.0.0.1:15333"],"gateway_url":"127.0.0.1:15333","gateway_nrp":true,"gateway_iom":true}"#
);

const CONNECT: &str = concat!(
    r#"{"echo":false,"verbose":false,"pedantic":false,"tls_required":false,"headers":false,"#,
    r#""name":"NDHO74T7HLIIPYI4NW67DQNKEPWNYS2US2WFJQUR2XK5NPHRE3OT2YLL","cluster":"","gateway":"Y"}"#
);

fn command_json(number: u8, payload: &str) -> String {
    format!(
        r#"{{"server_id":"","server_name":"","version":"","proto":0,"go":"","host":"","port":0,"headers":false,"max_payload":0,"gateway":"X","gateway_cmd":{number},"gateway_cmd_payload":"{payload}"}}"#
    )
}

fn written(info: &Info) -> String {
    let mut out = Vec::new();
    info.encode(&mut out);
    String::from_utf8(out).expect("text")
}

#[test]
fn an_official_info_is_read_and_written() {
    let info = Info::parse(INFO.as_bytes()).expect("read");
    assert_eq!((info.gateway.as_str(), info.gateway_nrp, info.gateway_iom), ("X", true, true));
    assert_eq!(info.command(), Ok(None));
    assert_eq!(written(&info), format!("INFO {INFO}\r\n"));
}

#[test]
fn an_official_connect_is_read_and_written() {
    let connect = Connect::parse(CONNECT.as_bytes()).expect("read");
    assert_eq!(connect.gateway, "Y");
    let mut out = Vec::new();
    connect.encode(&mut out);
    assert_eq!(String::from_utf8_lossy(&out), format!("CONNECT {CONNECT}\r\n"));
}

/// As two official servers of 2.15 wrote them.
#[test]
fn commands_are_read_and_written() {
    for (info, number, payload, command) in [
        (Info::all_interest_begins("X", b"SYS"), 2, "U1lT", Command::AllInterestBegins(b"SYS".to_vec())),
        (Info::all_interest_begins("X", b"A"), 2, "QQ==", Command::AllInterestBegins(b"A".to_vec())),
        (Info::all_interest_ends("X", b"$G"), 3, "JEc=", Command::AllInterestEnds(b"$G".to_vec())),
    ] {
        let json = command_json(number, payload);
        assert_eq!(written(&info), format!("INFO {json}\r\n"));
        let read = Info::parse(json.as_bytes()).expect("read");
        assert_eq!(read.command(), Ok(Some(command)));
        assert_eq!(read, info);
    }
    let gossip = Info::gossip("NID", "Z", vec!["h:1".into()]);
    assert_eq!(gossip.command(), Ok(Some(Command::Gossip)));
    assert_eq!((gossip.gateway.as_str(), gossip.server_id.as_str()), ("Z", "NID"));
    let command = |json: String| Info::parse(json.as_bytes()).expect("read").command();
    assert_eq!(command(command_json(9, "")), Ok(Some(Command::Unknown(9))));
    for payload in ["", "!", "QQ", "Q Q="] {
        assert_eq!(command(command_json(2, payload)), Err(JsonError::Type), "{payload}");
        assert_eq!(command(command_json(3, payload)), Err(JsonError::Type), "{payload}");
    }
    assert_eq!(Info::parse(br#"{"gateway_cmd":256}"#), Err(JsonError::Type));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(json in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = Info::parse(&json).map(|info| info.command());
    }

    #[test]
    fn accounts_of_any_name_come_back(account in prop::collection::vec(any::<u8>(), 1..20), gateway in ".{0,9}") {
        let info = Info::all_interest_begins(&gateway, &account);
        let text = written(&info);
        let read = Info::parse(text.strip_prefix("INFO ").expect("INFO").as_bytes());
        prop_assert_eq!(read.as_ref(), Ok(&info));
        prop_assert_eq!(info.command(), Ok(Some(Command::AllInterestBegins(account))));
    }
}
