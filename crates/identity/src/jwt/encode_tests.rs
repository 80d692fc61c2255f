//! What is encoded is decoded, and is what the official library makes of the same claims.

use super::account::*;
use super::authorization::*;
use super::claims::*;
use super::encode::{Draft, EncodeError};
use super::*;
use crate::nkey::Seed;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z<>&\u{2028}é\"\\\\ ]{1,8}", "[a-z]{1,4}(\\.[a-z*>]{1,3}){0,3}"]
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    vec(text(), 0..3)
}

fn limit() -> impl Strategy<Value = Limit> {
    prop_oneof![Just(Limit::Unlimited), Just(Limit::AtMost(0)), (0..=i64::MAX as u64).prop_map(Limit::AtMost)]
}

fn export_kind() -> impl Strategy<Value = ExportKind> {
    prop_oneof![Just(ExportKind::Stream), Just(ExportKind::Service)]
}

fn operator() -> impl Strategy<Value = Operator> {
    (texts(), text(), texts(), text(), text(), any::<bool>()).prop_map(
        |(keys, url, urls, system, version, strict)| Operator {
            signing_keys: keys,
            account_server_url: url,
            operator_service_urls: urls,
            system_account: system,
            assert_server_version: version,
            strict_signing_key_usage: strict,
        },
    )
}

fn permission() -> impl Strategy<Value = Permission> {
    (texts(), texts()).prop_map(|(allow, deny)| Permission { allow, deny })
}

fn permissions() -> impl Strategy<Value = Permissions> {
    let responses =
        option::of((any::<i64>(), any::<i64>()).prop_map(|(max, ttl)| ResponsePermission { max, ttl }));
    (permission(), permission(), responses).prop_map(|(publish, subscribe, responses)| Permissions {
        publish,
        subscribe,
        responses,
    })
}

fn user_limits() -> impl Strategy<Value = UserLimits> {
    let times = vec((text(), text()).prop_map(|(start, end)| TimeRange { start, end }), 0..3);
    (permissions(), texts(), times, text(), (limit(), limit(), limit()), any::<(bool, bool)>(), texts())
        .prop_map(
            |(
                permissions,
                src,
                times,
                zone,
                (subs, data, payload),
                (bearer_token, proxy_required),
                types,
            )| UserLimits {
                permissions,
                src,
                times,
                times_location: zone,
                subs,
                data,
                payload,
                bearer_token,
                proxy_required,
                allowed_connection_types: types,
            },
        )
}

fn streams() -> impl Strategy<Value = JetStreamLimits> {
    (vec(limit(), 7), any::<bool>()).prop_map(|(limits, max_bytes_required)| JetStreamLimits {
        mem_storage: limits[0],
        disk_storage: limits[1],
        streams: limits[2],
        consumer: limits[3],
        max_ack_pending: limits[4],
        mem_max_stream_bytes: limits[5],
        disk_max_stream_bytes: limits[6],
        max_bytes_required,
    })
}

fn account_limits() -> impl Strategy<Value = AccountLimits> {
    (vec(limit(), 7), any::<(bool, bool)>(), streams(), btree_map(text(), streams(), 0..3)).prop_map(
        |(limits, (wildcards, disallow_bearer), jetstream, tiered_limits)| AccountLimits {
            subs: limits[0],
            data: limits[1],
            payload: limits[2],
            imports: limits[3],
            exports: limits[4],
            wildcards,
            disallow_bearer,
            conn: limits[5],
            leaf: limits[6],
            jetstream,
            tiered_limits,
        },
    )
}

fn import() -> impl Strategy<Value = Import> {
    (vec(text(), 6), export_kind(), any::<(bool, bool)>()).prop_map(|(texts, kind, (share, allow_trace))| {
        Import {
            name: texts[0].clone(),
            subject: texts[1].clone(),
            account: texts[2].clone(),
            token: texts[3].clone(),
            to: texts[4].clone(),
            local_subject: texts[5].clone(),
            kind,
            share,
            allow_trace,
        }
    })
}

fn export() -> impl Strategy<Value = Export> {
    let latency =
        option::of((0..=100u8, text()).prop_map(|(sampling, results)| ServiceLatency { sampling, results }));
    let numbers = (any::<i64>(), any::<u64>());
    (
        vec(text(), 5),
        export_kind(),
        any::<(bool, bool, bool)>(),
        btree_map(text(), any::<i64>(), 0..3),
        latency,
        numbers,
    )
        .prop_map(|(texts, kind, (token_req, advertise, allow_trace), revocations, latency, numbers)| {
            Export {
                name: texts[0].clone(),
                subject: texts[1].clone(),
                kind,
                token_req,
                revocations,
                response_type: texts[2].clone(),
                response_threshold: numbers.0,
                service_latency: latency,
                account_token_position: numbers.1,
                advertise,
                allow_trace,
                description: texts[3].clone(),
                info_url: texts[4].clone(),
            }
        })
}

fn signing_keys() -> impl Strategy<Value = BTreeMap<String, Option<Role>>> {
    let role = (text(), user_limits(), text());
    btree_map("[A-Z]{3}", option::of(role), 0..3).prop_map(|keys| {
        let role = |key: &String, (role, template, description)| Role {
            key: key.clone(),
            role,
            template,
            description,
        };
        keys.into_iter()
            .map(|(key, value)| {
                let value = value.map(|value| role(&key, value));
                (key, value)
            })
            .collect()
    })
}

fn account() -> impl Strategy<Value = Account> {
    let mapping = (text(), 0..=100u8, text()).prop_map(|(subject, weight, cluster)| WeightedMapping {
        subject,
        weight,
        cluster,
    });
    let authorization = (texts(), texts(), text()).prop_map(|(auth_users, allowed_accounts, xkey)| {
        ExternalAuthorization { auth_users, allowed_accounts, xkey }
    });
    let trace = option::of((text(), 0..=100u8).prop_map(|(dest, sampling)| Trace { dest, sampling }));
    let sharing = (vec(import(), 0..3), vec(export(), 0..3), btree_map(text(), vec(mapping, 0..3), 0..3));
    let keys = (signing_keys(), btree_map(text(), any::<i64>(), 0..3));
    (sharing, account_limits(), keys, permissions(), authorization, trace, vec(text(), 3)).prop_map(
        |(
            (imports, exports, mappings),
            limits,
            (signing_keys, revocations),
            default_permissions,
            authorization,
            trace,
            texts,
        )| Account {
            imports,
            exports,
            limits,
            signing_keys,
            revocations,
            default_permissions,
            mappings,
            authorization,
            trace,
            cluster_traffic: texts[0].clone(),
            description: texts[1].clone(),
            info_url: texts[2].clone(),
        },
    )
}

fn request() -> impl Strategy<Value = AuthorizationRequest> {
    let tls = option::of((text(), text(), texts(), vec(texts(), 0..3)).prop_map(
        |(version, cipher, certs, verified_chains)| ClientTls { version, cipher, certs, verified_chains },
    ));
    (vec(text(), 25), texts(), any::<(u64, i64)>(), tls).prop_map(|(texts, tags, (id, protocol), tls)| {
        let mut texts = texts.into_iter();
        let mut next = || texts.next().unwrap_or_default();
        AuthorizationRequest {
            server: ServerId {
                name: next(),
                host: next(),
                id: next(),
                version: next(),
                cluster: next(),
                tags: tags.clone(),
                xkey: next(),
            },
            user_nkey: Seed::from_bytes(Kind::User, [3; 32]).public().to_string(),
            client: ClientInformation {
                host: next(),
                id,
                user: next(),
                name: next(),
                tags,
                name_tag: next(),
                kind: next(),
                transport: next(),
                mqtt_id: next(),
                nonce: next(),
            },
            connect: ConnectOptions {
                jwt: next(),
                nkey: next(),
                signed_nonce: next(),
                token: next(),
                user: next(),
                password: next(),
                name: next(),
                lang: next(),
                version: next(),
                protocol,
            },
            tls,
            request_nonce: next(),
        }
    })
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        operator().prop_map(Body::from),
        account().prop_map(Body::from),
        (user_limits(), text()).prop_map(|(limits, issuer_account)| User { limits, issuer_account }.into()),
        (text(), option::of(export_kind()), text()).prop_map(|(subject, kind, issuer_account)| Activation {
            subject,
            kind,
            issuer_account
        }
        .into()),
        request().prop_map(Body::from),
        (text(), text(), text()).prop_map(|(jwt, error, issuer_account)| AuthorizationResponse {
            jwt,
            error,
            issuer_account
        }
        .into()),
    ]
}

fn draft() -> impl Strategy<Value = Draft> {
    let times = (option::of(1..i64::MAX), option::of(1..i64::MAX));
    (body(), text(), text(), times, vec("[a-z:&]{1,5}", 0..3)).prop_map(
        |(body, name, audience, times, tags)| Draft {
            subject: Seed::from_bytes(body.subject(), [3; 32]).public(),
            name,
            audience,
            expires: times.0,
            not_before: times.1,
            tags,
            body,
        },
    )
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(draft in draft(), at in 0..i64::MAX) {
        for kind in draft.body.issuers() {
            let issuer = Seed::from_bytes(*kind, [1; 32]);
            let token = decode(&draft.sign(&issuer, at).expect("signed")).expect("decoded");
            prop_assert_eq!((token.issuer, token.issued_at, token.id.len()), (issuer.public(), at, 52));
            prop_assert_eq!(&Draft::from(&token), &draft);
        }
    }
}

/// Tokens that version 2.8 of the official library made, one of each kind with every field said: the same claims are the same text.
#[test]
fn the_official_library_makes_the_same() {
    let tokens = include_str!("official_tokens.txt");
    let mut kinds = Vec::new();
    for line in tokens.lines().filter(|line| !line.starts_with('#')) {
        let token = decode(line).expect("an official token");
        let issuer = Seed::from_bytes(token.issuer.kind, [1; 32]);
        assert_eq!(Draft::from(&token).sign(&issuer, token.issued_at).as_deref(), Ok(line));
        kinds.push(token.body.kind());
    }
    kinds.dedup();
    assert_eq!(kinds.len(), 6);
}

#[test]
fn keys_of_other_kinds_make_no_tokens() {
    let key = |kind| Seed::from_bytes(kind, [1; 32]);
    let draft = |kind| Draft::new(key(kind).public(), "x", User::default());
    assert_eq!(
        draft(Kind::User).sign(&key(Kind::Operator), 1),
        Err(EncodeError::Issuer { kind: "user", issuer: Kind::Operator })
    );
    assert_eq!(
        draft(Kind::Account).sign(&key(Kind::Account), 1),
        Err(EncodeError::Subject { kind: "user", subject: Kind::Account })
    );
}

/// A question holds what the client sent: printing it shows none of its secrets.
#[test]
fn a_question_is_printed_without_secrets() {
    let connect = ConnectOptions {
        password: "s3cret".into(),
        token: "s3cret".into(),
        jwt: "s3cret".into(),
        user: "s3cret".into(),
        ..ConnectOptions::default()
    };
    assert!(
        !format!("{:?}", AuthorizationRequest { connect, ..AuthorizationRequest::default() })
            .contains("s3cret")
    );
}
