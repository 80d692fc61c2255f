//! INFO and CONNECT as official servers write them on leaf node connections.

use super::*;
use proptest::prelude::*;

/// 2.15.0, in answer to CONNECT, for a user with permissions.
const INFO: &str = concat!(
    r#"{"server_id":"NDVBYDC3F6F7CBAQCOPJADXCSCJGEYZSANGJDJV22SB7MMFFOG4UDROL","server_name":"hub","version":"2.15.0","#,
    r#""proto":3,"git_commit":"eb76367","go":"go1.26.10","host":"192.0.2.2","port":15224,"headers":true,"#,
    r#""auth_required":true,"max_payload":1048576,"ip":"192.0.2.2:15224","client_id":6,"cluster":"H","#,
    r#""connect_info":true,"remote_account":"A","api_lvl":5,"import":{"allow":["down.\u003e","_R_.\u003e"],"#,
    r#""deny":["down.x"]},"export":{"allow":["up.\u003e"]},"info_on_connect":true,"#,
    r#""leafnode_urls":["192.0.2.2:15224"]}"#
);

/// The INFO by which who dials asks for compression.
const COMPRESSION: &str = concat!(
    r#"{"server_id":"","server_name":"","version":"","proto":0,"go":"","host":"","port":0,"headers":false,"#,
    r#""max_payload":0,"client_id":6,"compression":"s2_fast"}"#
);

const CONNECT: &str = concat!(
    r#"{"version":"2.15.0","user":"l","pass":"s3cret","#,
    r#""server_id":"NAFI727RWGGRSLW3NQ2LROYPB4UAKFNV37XV4NWKEFD3JXGKJGSKHMKM","name":"leaf","cluster":"L","#,
    r#""headers":true,"deny_pub":["no.\u003e"],"isolate":true,"compress_mode":"s2_uncompressed","#,
    r#""remote_account":"B","protocol":3}"#
);

#[test]
fn an_official_info_is_read_and_written() {
    let info = Info::parse(INFO.as_bytes()).expect("read");
    assert!(info.connect_info && info.info_on_connect);
    assert_eq!((info.remote_account.as_str(), info.client_id), ("A", 6));
    let rules = |allow: &[&str], deny: &[&str]| {
        let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        Some(SubjectRules { allow: texts(allow), deny: texts(deny) })
    };
    assert_eq!(info.import, rules(&["down.>", "_R_.>"], &["down.x"]));
    assert_eq!(info.export, rules(&["up.>"], &[]));
    let written = |info: &Info| {
        let mut out = Vec::new();
        info.encode(&mut out);
        String::from_utf8(out).expect("text")
    };
    assert_eq!(written(&info), format!("INFO {} \r\n", INFO.replace("\\u003e", ">")));
    let asks = Info { client_id: 6, compression: "s2_fast".into(), ..Info::default() };
    assert_eq!(Info::parse(COMPRESSION.as_bytes()), Ok(asks.clone()));
    assert_eq!(written(&asks), format!("INFO {COMPRESSION} \r\n"));
}

#[test]
fn an_official_connect_is_read_and_written() {
    let connect = Connect::parse(CONNECT.as_bytes()).expect("read");
    assert_eq!((connect.remote_account.as_str(), connect.protocol), ("B", 3));
    assert!(connect.isolate && !connect.is_hub);
    let mut out = Vec::new();
    connect.encode(&mut out);
    assert_eq!(String::from_utf8_lossy(&out), format!("CONNECT {}\r\n", CONNECT.replace("\\u003e", ">")));
}

#[test]
fn secrets_are_not_printed() {
    let json = br#"{"user":"s3cret","pass":"s3cret","auth_token":"s3cret","jwt":"s3cret","sig":"s3cret","nkey":"s3cret","proxy_sig":"s3cret"}"#;
    let connect = Connect::parse(json).expect("read");
    assert!(!format!("{connect:?}").contains("s3cret"));
}

#[test]
fn fields_of_another_type_are_refused() {
    for json in [
        r#"{"is_hub":"x"}"#,
        r#"{"deny_pub":"a"}"#,
        r#"{"deny_pub":[1]}"#,
        r#"{"protocol":1.5}"#,
        r#"{"user":{}}"#,
    ] {
        assert_eq!(Connect::parse(json.as_bytes()), Err(crate::interserver::JsonError::Type), "{json}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(json in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = Info::parse(&json);
        let _ = Connect::parse(&json);
    }

    #[test]
    fn what_was_written_is_read(text in ".{0,9}", urls in prop::collection::vec(".{0,9}", 0..3), number in any::<u64>(), flag in any::<bool>()) {
        let info = Info {
            server_name: text.clone(), leafnode_urls: urls.clone(), client_id: number, connect_info: flag,
            export: flag.then(|| SubjectRules { allow: Vec::new(), deny: urls.clone() }), ..Info::default()
        };
        let mut out = Vec::new();
        info.encode(&mut out);
        prop_assert_eq!(Info::parse(&out[5..]), Ok(info));
        let connect = Connect { jwt: text.clone(), deny_pub: urls, is_hub: flag, isolate: !flag, ..Connect::default() };
        out.clear();
        connect.encode(&mut out);
        prop_assert_eq!(Connect::parse(&out[8..]), Ok(connect));
    }
}
