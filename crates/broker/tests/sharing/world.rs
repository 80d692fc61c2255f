//! Random accounts with exports, imports, mappings and queue groups.

use dialtone_config::sharing::{
    Destination, Export, ExportKind, Import, ImportKind, Mapping, ResponseType, ServiceExport, stream_subject,
};

/// splitmix64, so that a case can be played again by its number.
pub struct FastRandom(pub u64);

impl FastRandom {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    pub fn chance(&mut self, of_hundred: usize) -> bool {
        self.below(100) < of_hundred
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Filters of two or three tokens; the first is literal.
    pub fn filter(&mut self) -> String {
        let mut tokens: Vec<&str> = vec![*self.pick(&["a", "b"])];
        for _ in 0..1 + self.below(2) {
            tokens.push(*self.pick(&["a", "b", "*"]));
        }
        if self.chance(20) {
            tokens.push(">");
        }
        tokens.join(".")
    }

    pub fn subject(&mut self) -> String {
        let tokens = 2 + self.below(2);
        (0..tokens).map(|_| *self.pick(&["a", "b"])).collect::<Vec<_>>().join(".")
    }
}

#[derive(Debug, Default)]
pub struct Tenant {
    pub exports: Vec<Export>,
    pub imports: Vec<Import>,
    pub mappings: Vec<Mapping>,
    /// Peers, each with its subscriptions: filter and queue group; the sid is the place.
    pub peers: Vec<Vec<(String, Option<&'static str>)>>,
}

/// Accounts and what they agreed on; the account with number n is called `n`.
#[derive(Debug, Default)]
pub struct World(pub Vec<Tenant>);

impl World {
    pub fn random(random: &mut FastRandom) -> Self {
        let mut world = Self((0..2 + random.below(4)).map(|_| Tenant::random(random)).collect());
        let count = world.0.len();
        for _ in 0..4 + random.below(12) {
            let (from, to) = (random.below(count), random.below(count));
            if from != to && !world.0[from].exports.is_empty() {
                let export = random.pick(&world.0[from].exports).clone();
                world.import(from, to, &export, random);
            }
        }
        world
    }

    /// A subject that is published in an account: often one that it imports.
    pub fn subject(&self, account: usize, random: &mut FastRandom) -> String {
        let imports = &self.0[account].imports;
        if imports.is_empty() || random.chance(40) {
            return random.subject();
        }
        let name = local(random.pick(imports));
        let literal =
            |token: &str| if matches!(token, "*" | ">" | "$1" | "$2") { "b" } else { token }.to_owned();
        name.split('.').map(literal).collect::<Vec<_>>().join(".")
    }

    fn import(&mut self, from: usize, to: usize, export: &Export, random: &mut FastRandom) {
        // Sometimes only a part of what is exported is taken.
        let mut subject = export.subject.clone();
        if random.chance(30) {
            subject = subject.replacen('*', "b", 1);
        }
        let stars = subject.split('.').filter(|token| *token == "*").count();
        let tail = if subject.ends_with('>') { ".>" } else { "" };
        let other_name = match stars {
            0 => format!("b.z{tail}"),
            1 => format!("b.$1{tail}"),
            _ => format!("a.$2.$1{tail}"),
        };
        let kind = match &export.kind {
            ExportKind::Stream => {
                let (prefix, to) = match random.below(3) {
                    0 => (None, None),
                    1 => (Some("b".to_owned()), None),
                    _ => (None, Some(other_name)),
                };
                ImportKind::Stream { prefix, to, allow_trace: false }
            }
            ExportKind::Service(_) => {
                let to = if random.chance(50) { subject.clone() } else { other_name };
                ImportKind::Service { to, share: random.chance(50) }
            }
        };
        let import = Import { at: Default::default(), account: from.to_string(), subject, kind };
        let importer = to.to_string();
        let twice = self.0[to].imports.iter().any(|other| {
            other.account == import.account
                && (other.subject == import.subject || local(other) == local(&import))
        });
        // Which of several exports is meant must be clear.
        let exports = &self.0[from].exports;
        let meant = exports.iter().filter(|export| export.allows(&import, &importer)).count();
        if !twice && meant == 1 {
            self.0[to].imports.push(import);
        }
    }
}

impl Tenant {
    pub fn random(random: &mut FastRandom) -> Self {
        let mut tenant = Self::default();
        for _ in 0..1 + random.below(4) {
            let subject = random.filter();
            let kind = if random.chance(50) {
                ExportKind::Stream
            } else {
                let response = *random.pick(&[ResponseType::Single, ResponseType::Stream]);
                ExportKind::Service(ServiceExport { response, ..ServiceExport::default() })
            };
            let accounts = if random.chance(20) { vec!["1".to_owned()] } else { Vec::new() };
            let export =
                Export { at: Default::default(), subject, accounts, account_token_position: None, kind };
            if tenant.exports.iter().all(|other| other.subject != export.subject) {
                tenant.exports.push(export);
            }
        }
        for _ in 0..usize::from(random.chance(30)) {
            let subject = random.filter();
            let numbered = dialtone_subject::transform::number_wildcards(&subject);
            // To another subject, or nowhere.
            let destination = if random.chance(80) {
                Destination { subject: format!("a.{numbered}"), weight: 100, cluster: None }
            } else {
                let tail = if subject.ends_with('>') { ".>" } else { "" };
                Destination { subject: format!("lost.on.purpose{tail}"), weight: 100, cluster: None }
            };
            tenant.mappings.push(Mapping {
                at: Default::default(),
                subject,
                destinations: vec![destination],
            });
        }
        for _ in 0..1 + random.below(3) {
            let subscriptions = (0..random.below(4)).map(|_| {
                let filter = if random.chance(20) { ">".to_owned() } else { random.filter() };
                (filter, random.chance(40).then(|| *random.pick(&["q", "r"])))
            });
            tenant.peers.push(subscriptions.collect());
        }
        tenant
    }
}

pub fn local(import: &Import) -> String {
    match &import.kind {
        ImportKind::Stream { prefix, to, .. } => {
            stream_subject(&import.subject, prefix.as_deref(), to.as_deref())
        }
        ImportKind::Service { to, .. } => to.clone(),
    }
}
