//! INFO and CONNECT as official servers write them on routes.

use super::*;
use crate::interserver::JsonError;
use proptest::prelude::*;

/// 2.15.0, with two routes in a pool, permissions, a leaf node listener, and an advertised address.
const INFO: &str = concat!(
    r#"{"server_id":"NCB7KCLI5CEQHUW36WHCOA5H7EJ2H2BI25B5EMM246OY2R6JZLEMCZMP","server_name":"a","version":"2.15.0","#,
    r#""proto":3,"go":"go1.26.10","host":"0.0.0.0","port":15223,"headers":true,"max_payload":1048576,"#,
    r#""ip":"nats-route://127.0.0.1:15223/","nonce":"ISmy_HToJLZw4oo","cluster":"C","#,
    r#""connect_urls":["192.0.2.2:15222","[fd00::2]:15222"],"compression":"off","import":{"allow":["\u003e"]},"#,
    r#""export":{"allow":["foo.\u003e","bar"],"deny":["foo.x"]},"lnoc":true,"lnocu":true,"ln":true,"#,
    r#""route_pool_size":2,"route_pool_idx":1,"gossip_mode":2,"leafnode_urls":["192.0.2.2:15224"]}"#
);

const CONNECT: &str = concat!(
    r#"{"echo":true,"verbose":false,"pedantic":false,"user":"r","pass":"s3cret","tls_required":false,"headers":true,"#,
    r#""name":"NCB7KCLI5CEQHUW36WHCOA5H7EJ2H2BI25B5EMM246OY2R6JZLEMCZMP","cluster":"C","lnoc":true,"ln":true}"#
);

#[test]
fn an_official_info_is_read_and_written() {
    let info = Info::parse(INFO.as_bytes()).expect("read");
    assert_eq!((info.server_name.as_str(), info.port, info.proto), ("a", 15223, 3));
    assert_eq!((info.route_pool_size, info.route_pool_idx), (2, 1));
    assert_eq!(info.gossip_mode, GossipMode::Override);
    assert_eq!(
        info.export,
        Some(SubjectRules { allow: vec!["foo.>".into(), "bar".into()], deny: vec!["foo.x".into()] })
    );
    assert!(info.lnoc && info.lnocu && info.ln);
    let mut out = Vec::new();
    info.encode(&mut out);
    // Go writes `>` so that it may stand in HTML.
    assert_eq!(String::from_utf8_lossy(&out), format!("INFO {} \r\n", INFO.replace("\\u003e", ">")));
}

#[test]
fn an_official_connect_is_read_and_written() {
    let connect = Connect::parse(CONNECT.as_bytes()).expect("read");
    assert_eq!((connect.cluster.as_str(), connect.ln, connect.lnocu), ("C", true, false));
    let mut out = Vec::new();
    connect.encode(&mut out);
    assert_eq!(String::from_utf8_lossy(&out), format!("CONNECT {CONNECT}\r\n"));
    assert!(!format!("{connect:?}").contains("s3cret"));
}

#[test]
fn what_says_nothing_is_left_out() {
    let mut out = Vec::new();
    Info::default().encode(&mut out);
    let expected = r#"INFO {"server_id":"","server_name":"","version":"","proto":0,"go":"","host":"","port":0,"headers":false,"max_payload":0}"#;
    assert_eq!(String::from_utf8_lossy(&out), format!("{expected} \r\n"));
}

#[test]
fn json_is_read_as_leniently_as_by_the_official_server() {
    let read = |json: &[u8]| Info::parse(json).map(|info| info.server_name);
    assert_eq!(
        read(br#"{"server_name":"a","unknown":{"x":[1,null]},"cluster":null,"import":null}"#),
        Ok("a".into())
    );
    assert_eq!(read(br#"{"SERVER_Name":"a"}"#), Ok("a".into()));
    assert_eq!(read(br#"{"server_name":"a","server_name":"b"}"#), Ok("b".into()));
    assert_eq!(read(b"{\"server_name\":\"a\xff\"}"), Ok("a\u{fffd}".into()));
    assert_eq!(Info::parse(br#"{"gossip_mode":9}"#).expect("read").gossip_mode, GossipMode::Default);
    assert_eq!(Info::parse(br#"{"route_pool_idx":-1}"#).expect("read").route_pool_idx, -1);
    for json in ["", "x", "[]", "null", "{} {}", "{\"a\":}"] {
        assert!(matches!(read(json.as_bytes()), Err(JsonError::Syntax { .. })), "{json}");
    }
    for json in [
        r#"{"server_name":1}"#,
        r#"{"port":70000}"#,
        r#"{"port":-1}"#,
        r#"{"route_pool_idx":1.5}"#,
        r#"{"route_pool_size":1.5}"#,
        r#"{"connect_urls":"a"}"#,
        r#"{"import":["a"]}"#,
        r#"{"import":{"allow":[1]}}"#,
    ] {
        assert_eq!(read(json.as_bytes()), Err(JsonError::Type), "{json}");
    }
    // Nested so deep that it would take the stack.
    assert!(read(&[b"{\"a\":".repeat(100_000), b"1".to_vec()].concat()).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(json in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = Info::parse(&json);
        let _ = Connect::parse(&json);
    }

    #[test]
    fn what_was_written_is_read(
        name in ".{0,9}", urls in prop::collection::vec(".{0,9}", 0..3), port in any::<u16>(), size in any::<u32>(), flags in any::<[bool; 4]>(),
    ) {
        let [headers, jetstream, ln, has_rules] = flags;
        let import = has_rules.then(|| SubjectRules { allow: urls.clone(), deny: Vec::new() });
        let info = Info {
            server_name: name.clone(), connect_urls: urls, port, route_pool_size: size, headers, jetstream, ln, import,
            ..Info::default()
        };
        let mut out = Vec::new();
        info.encode(&mut out);
        prop_assert_eq!(Info::parse(&out[5..]), Ok(info));
        let connect = Connect { name: name.clone(), cluster: name, headers, ln, ..Connect::default() };
        out.clear();
        connect.encode(&mut out);
        prop_assert_eq!(Connect::parse(&out[8..]), Ok(connect));
    }
}
