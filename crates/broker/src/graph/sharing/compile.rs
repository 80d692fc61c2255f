//! From claims to what routes are worked out from. Everything that can be wrong was refused before, with its place;
//! what is wrong all the same (claims that come at run time) is left out, and returned.

use super::{Mapping, ServiceExport, ServiceImport, StreamImport, SubjectMap, THRESHOLD_DEFAULT};
use crate::account::Account;
use dialtone_config::sharing::{self as claims, ExportKind, Import};
use dialtone_subject::transform::{TransformError, number_wildcards, unnumber_wildcards};
use dialtone_subject::{Filter, InvalidSubject, Literal, Transform, is_literal};
use std::sync::Arc;

/// Why an import is left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The exporting account is not there.
    #[error("account {0:?} is not there")]
    NoAccount(String),
    /// It does not share this service.
    #[error("{0:?} is no service of the account")]
    NoService(String),
    /// The subject here does not fit the subject there.
    #[error(transparent)]
    Subject(#[from] TransformError),
    /// A subject is invalid.
    #[error(transparent)]
    Invalid(#[from] InvalidSubject),
}

/// The service that an export declares, if it is one.
pub(super) fn service(export: &claims::Export) -> Option<ServiceExport> {
    match &export.kind {
        ExportKind::Stream => None,
        ExportKind::Service(service) => Some(ServiceExport {
            subject: Filter::parse(&export.subject).ok()?,
            response: service.response,
            threshold: service.threshold.filter(|t| !t.is_zero()).unwrap_or(THRESHOLD_DEFAULT),
            latency: service.latency.clone(),
            allow_trace: service.allow_trace,
        }),
    }
}

/// An import of a stream by `importer`.
pub(super) fn stream(
    importer: &Arc<Account>,
    exporter: &Arc<Account>,
    import: &Import,
    prefix: Option<&str>,
    to: Option<&str>,
    allow_trace: bool,
) -> Result<StreamImport, ImportError> {
    let subject = import.subject.as_str();
    let to = claims::stream_subject(subject, prefix, to);
    let (local, subject_map) = if to == subject {
        (to, SubjectMap::Same)
    } else if is_literal(subject.as_bytes()) {
        let fixed = Literal::parse(&to)?;
        (to, SubjectMap::Fixed(fixed))
    } else {
        let transform = Transform::reversible(subject, &number_wildcards(&to))?;
        (unnumber_wildcards(&to).0, SubjectMap::Transformed(transform))
    };
    Ok(StreamImport {
        subject: Filter::parse(subject)?,
        importer: importer.clone(),
        exporter: exporter.clone(),
        local: Filter::parse(&local)?,
        allow_trace,
        subject_map,
    })
}

/// `subject` there is `to` here; `$1` in `to` is its first wildcard.
pub(super) fn service_subjects(subject: &str, to: &str) -> Result<(Filter, SubjectMap), ImportError> {
    if to == subject {
        return Ok((Filter::parse(to)?, SubjectMap::Same));
    }
    if is_literal(subject.as_bytes()) {
        return Ok((Filter::parse(to)?, SubjectMap::Fixed(Literal::parse(subject)?)));
    }
    // Every wildcard there must come from here: that is checked in the direction in which it is written.
    let numbered = number_wildcards(to);
    Transform::reversible(subject, &numbered)?;
    let (local, stood) = unnumber_wildcards(&numbered);
    let mut stood = stood.into_iter();
    let back = subject.split('.').map(|token| if token == "*" { stood.next().unwrap_or("*") } else { token });
    let back = back.collect::<Vec<_>>().join(".");
    let transform = Transform::reversible(&local, &back)?;
    Ok((Filter::parse(&local)?, SubjectMap::Transformed(transform)))
}

/// An import of a service.
pub(super) fn service_import(
    exporter: &Arc<Account>,
    import: &Import,
    to: &str,
    share: bool,
) -> Result<ServiceImport, ImportError> {
    let export = exporter.sharing().service(&import.subject);
    let export = export.ok_or_else(|| ImportError::NoService(import.subject.clone()))?;
    let compiled = ServiceImport::new(exporter, export, &import.subject, to)?;
    Ok(ServiceImport { share, ..compiled })
}

/// A mapping in this cluster; the one that is declared first has rank 0.
pub(super) fn mapping(
    mapping: &claims::Mapping,
    rank: u32,
    cluster: Option<&str>,
) -> Result<Mapping, TransformError> {
    let subject = mapping.subject.as_str();
    // Those of its cluster count if there are any, and else those of none.
    let is_of_any =
        |destination: &claims::Destination| cluster.is_some() && destination.cluster.as_deref() == cluster;
    let cluster = cluster.filter(|_| mapping.destinations.iter().any(is_of_any));
    let own = mapping.destinations.iter().filter(|destination| destination.cluster.as_deref() == cluster);
    let mut destinations = Vec::new();
    let mut below = 0u8;
    for destination in own {
        below = below.saturating_add(destination.weight).min(100);
        destinations.push((below, Transform::new(subject, &destination.subject)?));
    }
    // What is left keeps its subject, unless that is a destination itself: then it is lost, on purpose.
    if below < 100 && !mapping.destinations.iter().any(|destination| destination.subject == subject) {
        destinations.push((100, Transform::new(subject, &number_wildcards(subject))?));
    }
    // Literal subjects are looked at first.
    let rank = if is_literal(subject.as_bytes()) { rank } else { rank | 1 << 31 };
    let subject = Filter::parse(subject).map_err(|_| TransformError::Subject)?;
    Ok(Mapping { subject, rank, destinations: destinations.into() })
}

/// A mapping that nobody configured: all of a subject goes to another; configured ones go before.
pub(super) fn granted_mapping(from: &str, to: &str) -> Result<Mapping, TransformError> {
    let destinations = Box::new([(100, Transform::new(from, to)?)]);
    let subject = Filter::parse(from).map_err(|_| TransformError::Subject)?;
    Ok(Mapping { subject, rank: u32::MAX, destinations })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::AccountId;
    use dialtone_config::Location;
    use dialtone_config::sharing::ImportKind;

    #[test]
    fn destinations_of_the_own_cluster_count_alone_and_those_of_none_where_there_are_none() {
        let destination = |subject: &str, weight, cluster: Option<&str>| claims::Destination {
            subject: subject.to_owned(),
            weight,
            cluster: cluster.map(str::to_owned),
        };
        let claims = claims::Mapping {
            at: Location::default().into(),
            subject: "a".into(),
            destinations: vec![
                destination("b", 100, None),
                destination("c", 30, Some("C")),
                destination("d", 100, Some("D")),
            ],
        };
        let outcomes = |cluster| {
            let mapping = mapping(&claims, 0, cluster).expect("compiled");
            let outcomes = mapping.outcomes(b"a").into_iter();
            outcomes.map(|outcome| (outcome.percent, outcome.to.expect("somewhere"))).collect::<Vec<_>>()
        };
        for cluster in [None, Some("E"), Some("")] {
            assert_eq!(outcomes(cluster), [(100, b"b"[..].into())], "{cluster:?}");
        }
        assert_eq!(outcomes(Some("C")), [(30, b"c"[..].into()), (70, b"a"[..].into())]);
        assert_eq!(outcomes(Some("D")), [(100, b"d"[..].into())]);
    }

    /// Claims come at run time too, and nobody has looked at their texts then.
    #[test]
    fn no_import_has_a_subject_that_cannot_be_sent() {
        let accounts = [1, 2].map(|id| Account::new(AccountId(id), "a"));
        let stream_kind = |prefix: Option<&str>, to: Option<&str>| ImportKind::Stream {
            prefix: prefix.map(str::to_owned),
            to: to.map(str::to_owned),
            allow_trace: false,
        };
        let import = |subject: &str, kind: ImportKind| Import {
            at: Location::nowhere("t").into(),
            account: "a".into(),
            subject: subject.into(),
            kind,
        };
        let compiled = |subject: &str, prefix: Option<&str>, to: Option<&str>| {
            let import = import(subject, stream_kind(prefix, to));
            stream(&accounts[0], &accounts[1], &import, prefix, to, false)
                .map(|stream| stream.local.to_string())
        };
        assert_eq!(compiled("q", Some("p"), None), Ok("p.q".into()));
        assert_eq!(compiled("q.*", None, Some("t.$1")), Ok("t.*".into()));
        for (subject, prefix, to) in [
            ("q", Some("a b"), None),
            ("q", None, Some("a 1 5\r\nMSG b")),
            ("q.*", None, Some("a b.$1")),
            ("q.*", Some("a\tb"), None),
            ("q r", None, None),
            ("q", None, Some("a..b")),
        ] {
            assert!(compiled(subject, prefix, to).is_err(), "{subject} {prefix:?} {to:?}");
        }
        for (subject, to) in [("q", "a b"), ("q r", "a"), ("q.*", "a b.$1"), ("q", "")] {
            assert!(service_subjects(subject, to).is_err(), "{subject} {to}");
        }
    }
}
