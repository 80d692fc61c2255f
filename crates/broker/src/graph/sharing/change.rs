//! Changing what an account shares while messages flow. What stays the same is kept as it is; what changes in one
//! account changes at once.

use super::compile::{self, ImportError};
use super::{Filtered, Indexed, Mapping, ServiceExport, ServiceImport, StreamImport};
use crate::account::{Account, AccountId};
use dialtone_config::sharing as claims;
use dialtone_subject::transform::TransformError;
use dialtone_subject::{Filter, Interest};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

fn index<T: Filtered>(entries: impl IntoIterator<Item = Arc<T>>) -> Interest<Indexed<T>> {
    let mut index = Interest::default();
    entries.into_iter().for_each(|entry| index.insert(Indexed(entry)));
    index
}

/// An account's own mappings, and those that it was granted for other subjects.
fn mapped(own: Vec<Arc<Mapping>>, granted: &[Arc<Mapping>]) -> Interest<Indexed<Mapping>> {
    let other = granted.iter().filter(|granted| own.iter().all(|own| own.subject() != granted.subject()));
    let other: Vec<Arc<Mapping>> = other.cloned().collect();
    index(own.into_iter().chain(other))
}

/// The streams that one exporter has to add and to take out.
#[derive(Default)]
struct StreamChanges {
    exporter: Option<Arc<Account>>,
    gone: Vec<Arc<StreamImport>>,
    come: Vec<Arc<StreamImport>>,
}

impl Account {
    /// Sets what it offers to others. For those who import a service that changed, [`Account::set_imports`] must be called.
    pub fn set_exports(&self, exports: &[claims::Export]) {
        let before: HashMap<Filter, Arc<ServiceExport>> = {
            let sharing = self.sharing();
            sharing.exports.iter().map(|entry| (entry.0.subject.clone(), entry.0.clone())).collect()
        };
        let mut kept = 0;
        let services: Vec<Arc<ServiceExport>> = exports
            .iter()
            .filter_map(compile::service)
            .map(|service| match before.get(&service.subject) {
                Some(old) if **old == service => {
                    kept += 1;
                    old.clone()
                }
                _ => Arc::new(service),
            })
            .collect();
        if kept < services.len() || kept < before.len() {
            let exports = index(services);
            self.share(|sharing| sharing.exports = exports);
        }
    }

    /// Sets which subjects are mapped, in a cluster of this name. Those that cannot be compiled are left out and returned.
    pub fn set_mappings(&self, mappings: &[claims::Mapping], cluster: Option<&str>) -> Vec<TransformError> {
        if mappings.is_empty() && !self.maps() {
            return Vec::new();
        }
        let compiled =
            mappings.iter().zip(0..).map(|(mapping, rank)| compile::mapping(mapping, rank, cluster));
        let (good, bad): (Vec<_>, Vec<_>) = compiled.partition(Result::is_ok);
        let own = good.into_iter().flatten().map(Arc::new).collect();
        self.share(|sharing| sharing.mappings = mapped(own, &sharing.granted_mappings));
        bad.into_iter().filter_map(Result::err).collect()
    }

    /// Mappings that it has without having asked for them, from what to what; of the same subject, one of its own goes before.
    pub fn set_granted_mappings(&self, mappings: &[(String, &str)]) {
        let is_same = {
            let known = &self.sharing().granted_mappings;
            known.iter().map(|mapping| mapping.subject()).eq(mappings.iter().map(|(from, _)| from.as_str()))
        };
        if is_same {
            return;
        }
        let granted: Vec<Arc<Mapping>> = mappings
            .iter()
            .filter_map(|(from, to)| compile::granted_mapping(from, to).ok())
            .map(Arc::new)
            .collect();
        self.share(|sharing| {
            let known = &sharing.granted_mappings;
            let is_own = |mapping: &&Arc<Mapping>| !known.iter().any(|granted| Arc::ptr_eq(granted, mapping));
            let own = sharing.mappings().filter(is_own).cloned().collect();
            sharing.mappings = mapped(own, &granted);
            sharing.granted_mappings = granted;
        });
    }

    /// Sets what it takes from others, which `find` finds by name. What cannot be taken is left out and returned, with its
    /// place in `imports`.
    pub fn set_imports(
        self: &Arc<Self>,
        imports: &[claims::Import],
        find: &dyn Fn(&str) -> Option<Arc<Account>>,
    ) -> Vec<(usize, ImportError)> {
        let (mut services, mut streams, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for (at, import) in imports.iter().enumerate() {
            match self.compile_import(import, find) {
                Ok(Compiled::Service(service)) => services.push(service),
                Ok(Compiled::Stream(stream)) => streams.push(stream),
                Err(error) => errors.push((at, error)),
            }
        }
        self.replace_services(services);
        self.replace_streams(streams);
        errors
    }

    /// Services that it has without having asked for them: those of the system account. Their subjects here begin with
    /// `$SYS.` or `$JS.API.`, so that no other message is looked up for them.
    pub fn set_granted_services(&self, services: Vec<ServiceImport>) {
        let is_same = {
            let known = &self.sharing().granted;
            known.len() == services.len() && known.iter().zip(&services).all(|(one, other)| one.same(other))
        };
        if is_same {
            return;
        }
        let granted: Vec<_> = services.into_iter().map(Arc::new).collect();
        self.share(|sharing| {
            let own =
                sharing.services().filter(|s| !sharing.granted.iter().any(|granted| Arc::ptr_eq(granted, s)));
            let all: Vec<_> = own.chain(&granted).cloned().collect();
            sharing.services = index(all);
            sharing.granted = granted;
        });
    }

    fn compile_import(
        self: &Arc<Self>,
        import: &claims::Import,
        find: &dyn Fn(&str) -> Option<Arc<Account>>,
    ) -> Result<Compiled, ImportError> {
        let exporter = find(&import.account).ok_or_else(|| ImportError::NoAccount(import.account.clone()))?;
        match &import.kind {
            claims::ImportKind::Service { to, share } => {
                compile::service_import(&exporter, import, to, *share).map(Compiled::Service)
            }
            claims::ImportKind::Stream { prefix, to, allow_trace } => {
                let (prefix, to) = (prefix.as_deref(), to.as_deref());
                compile::stream(self, &exporter, import, prefix, to, *allow_trace).map(Compiled::Stream)
            }
        }
    }

    fn replace_services(&self, services: Vec<ServiceImport>) {
        let (before, granted): (HashMap<_, _>, Vec<_>) = {
            let sharing = self.sharing();
            let key = |s: &Arc<ServiceImport>| ((s.exporter.id, s.local.clone()), s.clone());
            let own =
                sharing.services().filter(|s| !sharing.granted.iter().any(|granted| Arc::ptr_eq(granted, s)));
            (own.map(key).collect(), sharing.granted.clone())
        };
        let mut kept = 0;
        let services: Vec<Arc<ServiceImport>> = services
            .into_iter()
            .map(|service| match before.get(&(service.exporter.id, service.local.clone())) {
                Some(old) if old.same(&service) => {
                    kept += 1;
                    old.clone()
                }
                _ => Arc::new(service),
            })
            .collect();
        if kept < services.len() || kept < before.len() {
            let services = index(services.into_iter().chain(granted));
            self.share(|sharing| sharing.services = services);
        }
    }

    fn replace_streams(&self, streams: Vec<StreamImport>) {
        let before: Vec<Arc<StreamImport>> = self.sharing().streams().to_vec();
        let key = |s: &StreamImport| (s.exporter.id, s.subject.clone(), s.local.clone());
        let mut old: HashMap<_, _> = before.into_iter().map(|s| (key(&s), s)).collect();
        let mut changes: BTreeMap<AccountId, StreamChanges> = BTreeMap::new();
        let mut of = |stream: Arc<StreamImport>, comes: bool| {
            let entry = changes.entry(stream.exporter.id).or_default();
            entry.exporter.get_or_insert_with(|| stream.exporter.clone());
            if comes { &mut entry.come } else { &mut entry.gone }.push(stream);
        };
        let mut all = Vec::with_capacity(streams.len());
        for stream in streams {
            let kept = old.remove(&key(&stream)).filter(|old| old.same(&stream));
            let stream = kept.unwrap_or_else(|| {
                let stream = Arc::new(stream);
                of(stream.clone(), true);
                stream
            });
            all.push(stream);
        }
        old.into_values().for_each(|stream| of(stream, false));
        for change in changes.into_values() {
            let Some(exporter) = change.exporter else { continue };
            exporter.share(|sharing| {
                for stream in change.gone {
                    sharing.taken.remove(&Indexed(stream));
                }
                for stream in change.come {
                    sharing.taken.insert(Indexed(stream));
                }
            });
        }
        if !all.is_empty() || !self.sharing().streams().is_empty() {
            self.share(|sharing| sharing.streams = all);
        }
    }
}

enum Compiled {
    Service(ServiceImport),
    Stream(StreamImport),
}
