//! What a client certificate says of its owner: names that users may be called by.

use crate::distinguished_name::DistinguishedName;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};

/// The names in a certificate, in the order in which users are looked for: e-mail addresses, DNS names and URIs of the
/// alternative name, then the subject in both orders of RFC 2253.
pub fn names(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Vec::new() };
    let mut emails = Vec::new();
    let mut hosts = Vec::new();
    let mut uris = Vec::new();
    if let Ok(Some(alternative)) = certificate.subject_alternative_name() {
        for name in &alternative.value.general_names {
            match name {
                GeneralName::RFC822Name(text) => emails.push((*text).to_owned()),
                GeneralName::DNSName(text) => hosts.push((*text).to_owned()),
                GeneralName::URI(text) => uris.push((*text).to_owned()),
                _ => {}
            }
        }
    }
    let parts = distinguished_name(&certificate);
    let forward = parts.join(",");
    let backward = parts.iter().rev().cloned().collect::<Vec<_>>().join(",");
    emails.into_iter().chain(hosts).chain(uris).chain([backward, forward]).filter(|n| !n.is_empty()).collect()
}

/// The DNS names in a certificate.
pub fn hosts(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Vec::new() };
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return Vec::new() };
    let host = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(text) => Some((*text).to_owned()),
        _ => None,
    };
    alternative.value.general_names.iter().filter_map(host).collect()
}

/// Whose certificate one is shown as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// That of the end that connects.
    Client,
    /// That of the end that is connected to.
    Server,
}

/// Whether a certificate is valid at this time, in seconds since 1970, and may be used for this.
pub fn is_valid(der: &[u8], purpose: Purpose, now: i64) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
    let validity = certificate.validity();
    let is_in_time = (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now);
    let is_for_it = match certificate.extended_key_usage() {
        Ok(usage) => usage.is_none_or(|usage| {
            let named = match purpose {
                Purpose::Client => usage.value.client_auth,
                Purpose::Server => usage.value.server_auth,
            };
            usage.value.any || named
        }),
        Err(_) => false,
    };
    is_in_time && is_for_it
}

/// The subject. `None`: no certificate, no subject, or one that only a literal name can stand for.
pub fn subject(der: &[u8]) -> Option<DistinguishedName> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    DistinguishedName::parse(&distinguished_name(&certificate).join(","))
}

/// The subject's parts as `CN=…`, in the order of the certificate. A part that cannot be read leaves no name at all:
/// half a name could be someone else's.
fn distinguished_name(certificate: &X509Certificate<'_>) -> Vec<String> {
    parts(certificate.subject())
}

fn parts(name: &X509Name<'_>) -> Vec<String> {
    let mut parts = Vec::new();
    for rdn in name.iter_rdn() {
        let mut attributes = Vec::new();
        for attribute in rdn.iter() {
            let Ok(value) = attribute.as_str() else { return Vec::new() };
            let Some(name) = attribute_name(&attribute.attr_type().to_id_string()) else { return Vec::new() };
            attributes.push(format!("{name}={}", escape(value)));
        }
        parts.push(attributes.join("+"));
    }
    parts
}

fn attribute_name(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "2.5.4.3" => "CN",
        "2.5.4.5" => "SERIALNUMBER",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.17" => "POSTALCODE",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        _ => return None,
    })
}

/// RFC 2253, section 2.4.
fn escape(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut out = String::new();
    for (at, c) in value.chars().enumerate() {
        let special = matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';')
            || (c == '#' && at == 0)
            || (c == ' ' && (at == 0 || at == last));
        if special {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// SHA-256 of the certificate's public key, lower-case hex: what `pinned_certs` lists. `None` if it is no certificate.
pub fn public_key_sha256(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(data_encoding::HEXLOWER.encode(&Sha256::digest(certificate.public_key().raw)))
}

/// Until when a certificate is good, in seconds since 1970.
pub fn not_after(der: &[u8]) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

/// Whom a certificate is about, and who has signed it.
pub fn parties(der: &[u8]) -> Option<(String, String)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let text = |name| parts(name).into_iter().rev().collect::<Vec<_>>().join(",");
    Some((text(certificate.subject()), text(certificate.issuer())))
}

/// A certificate's subject, and SHA-256 of it and of its public key in lower-case hex.
pub fn summary(der: &[u8]) -> Option<(String, String, String)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = distinguished_name(&certificate).into_iter().rev().collect::<Vec<_>>().join(",");
    Some((subject, data_encoding::HEXLOWER.encode(&Sha256::digest(der)), public_key_sha256(der)?))
}
