//! Answers about certificates (OCSP), and where they are kept.

use super::block;
use super::ocsp::{self, Ocsp, OcspCache};
use super::rule::{LogForm::Value, LogForm::Words, Rule::Reloads, show};
use crate::blocks::reader;
use crate::blocks::rule::Change;
use std::path::PathBuf;

block! {
    /// Answers about certificates (OCSP), and where they are kept.
    pub struct Staples in "" {
        /// Those about the server's own certificates.
        own: Ocsp = Ocsp::default(),
            ocsp: "OCSP stapling: true or false, or a block. Default: certificates that demand it.",
            block (ocsp::stapling), Reloads(Change::Tls, Words("OCSP"));
        store_dir: Option<PathBuf> = None,
            store_dir | "storedir": "Folder for what is kept; OCSP responses in its `ocsp`.",
            read (reader::path), Reloads(Change::Tls, Value(show));
        /// Those about clients' certificates; `None`: they are not kept.
        peers: Option<OcspCache> = Some(OcspCache::default()),
            ocsp_cache: "Where OCSP responses about clients' certificates are kept: true or false, or a block. Default: true.",
            block (ocsp::cache), Reloads(Change::Tls, Words("OCSP peer cache"));
    }
}
