//! Filters with wildcards, by token. A path from the root spells a filter; its last node holds the entries.

use super::{Bag, Entry, warm};
use crate::short::ShortBytes;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::hint::black_box;
use std::sync::LazyLock;

/// Children that are searched one by one; beyond it they are hashed.
const FEW: usize = 8;
/// Tokens of a subject along which [`Tree::warm`] goes.
const TOKENS_WARMED_MAX: usize = 8;

static HASHER: LazyLock<foldhash::fast::RandomState> = LazyLock::new(Default::default);

#[derive(Debug)]
struct Child<E> {
    token: ShortBytes<22>,
    node: Node<E>,
}

#[derive(Debug)]
enum Children<E> {
    Few(Vec<Child<E>>),
    Many(Box<HashTable<Child<E>>>),
}

#[derive(Debug)]
struct Node<E> {
    children: Children<E>,
    /// Below the token `*`.
    star: Option<Box<Node<E>>>,
    /// Filters that end here.
    here: Bag<E>,
    /// Filters that go on with `>`.
    rest: Bag<E>,
}

impl<E> Default for Node<E> {
    fn default() -> Self {
        Self { children: Children::Few(Vec::new()), star: None, here: Bag::Empty, rest: Bag::Empty }
    }
}

/// The tree.
#[derive(Debug)]
pub(super) struct Tree<E> {
    root: Node<E>,
}

impl<E> Default for Tree<E> {
    fn default() -> Self {
        Self { root: Node::default() }
    }
}

impl<E: Entry> Tree<E> {
    pub(super) fn insert(&mut self, entry: E) {
        let text = entry.clone();
        let mut node = &mut self.root;
        for token in crate::tokens(text.filter()) {
            match token {
                b">" => return node.rest.push(entry),
                b"*" => node = node.star.get_or_insert_default(),
                _ => node = node.children.get_or_insert(token),
            }
        }
        node.here.push(entry);
    }

    pub(super) fn remove(&mut self, entry: &E) -> bool {
        remove(&mut self.root, entry.filter(), entry)
    }

    /// Calls `found` for the entries of each filter that matches.
    pub(super) fn matches<'a>(&'a self, subject: &[u8], found: &mut impl FnMut(&'a Bag<E>)) {
        if self.root.is_empty() {
            return;
        }
        // Nodes to visit, each with what is left of the subject; `None` when nothing is.
        let mut visits = vec![(&self.root, Some(subject))];
        while let Some((node, left)) = visits.pop() {
            let Some(left) = left else {
                found(&node.here);
                continue;
            };
            let (token, left) = match left.iter().position(|&b| b == b'.') {
                Some(dot) => (left.get(..dot).unwrap_or_default(), left.get(dot + 1..)),
                None => (left, None),
            };
            found(&node.rest);
            visits.extend(node.children.get(token).map(|child| (child, left)));
            visits.extend(node.star.as_deref().map(|star| (star, left)));
        }
    }

    /// Walks along several subjects at once and reads what is there: by literal tokens as far as they go, then by `*`.
    pub(super) fn warm(&self, subjects: &[&[u8]]) {
        let mut walks = [(None, None); warm::SUBJECTS_MAX];
        for (walk, subject) in walks.iter_mut().zip(subjects) {
            *walk = (Some(&self.root), Some(*subject));
        }
        for _ in 0..TOKENS_WARMED_MAX {
            let mut walking = false;
            for (node, _) in walks.iter().take(subjects.len()) {
                black_box(node.is_some_and(|node| node.children.is_empty()));
            }
            for walk in walks.iter_mut().take(subjects.len()) {
                let (Some(node), Some(left)) = *walk else { continue };
                walking = true;
                let (token, left) = match left.iter().position(|&b| b == b'.') {
                    Some(dot) => (left.get(..dot).unwrap_or_default(), left.get(dot + 1..)),
                    None => (left, None),
                };
                black_box(node.rest.first().map(warm::touch));
                *walk = (node.children.get(token).or(node.star.as_deref()), left);
            }
            if !walking {
                break;
            }
        }
        for (node, _) in walks {
            black_box(node.and_then(|node| node.here.first()).map(warm::touch));
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &E> {
        self.bags().flat_map(Bag::iter)
    }

    /// The entries of each filter.
    pub(super) fn bags(&self) -> impl Iterator<Item = &Bag<E>> {
        let mut nodes = vec![&self.root];
        std::iter::from_fn(move || {
            let node = nodes.pop()?;
            match &node.children {
                Children::Few(children) => nodes.extend(children.iter().map(|c| &c.node)),
                Children::Many(children) => nodes.extend(children.iter().map(|c| &c.node)),
            }
            nodes.extend(node.star.as_deref());
            Some([&node.here, &node.rest].into_iter().filter(|bag| !bag.is_empty()))
        })
        .flatten()
    }
}

/// Takes an entry out of the tree below `node`, and the nodes that are empty without it. As deep as the filter has
/// tokens, which validation bounds.
fn remove<E: Entry>(node: &mut Node<E>, filter: &[u8], entry: &E) -> bool {
    let (token, left) = match filter.iter().position(|&b| b == b'.') {
        Some(dot) => (filter.get(..dot).unwrap_or_default(), filter.get(dot + 1..)),
        None => (filter, None),
    };
    if token == b">" {
        return node.rest.remove(entry);
    }
    let Some(child) = (if token == b"*" { node.star.as_deref_mut() } else { node.children.get_mut(token) })
    else {
        return false;
    };
    let removed = match left {
        Some(left) => remove(child, left, entry),
        None => child.here.remove(entry),
    };
    if child.is_empty() {
        if token == b"*" {
            node.star = None;
        } else {
            node.children.remove(token);
        }
    }
    removed
}

impl<E> Node<E> {
    fn is_empty(&self) -> bool {
        self.here.is_empty() && self.rest.is_empty() && self.star.is_none() && self.children.is_empty()
    }
}

impl<E> Children<E> {
    fn is_empty(&self) -> bool {
        match self {
            Self::Few(children) => children.is_empty(),
            Self::Many(children) => children.is_empty(),
        }
    }

    fn get(&self, token: &[u8]) -> Option<&Node<E>> {
        match self {
            Self::Few(children) => children.iter().find(|c| c.token.as_slice() == token).map(|c| &c.node),
            Self::Many(children) => {
                children.find(HASHER.hash_one(token), |c| c.token.as_slice() == token).map(|c| &c.node)
            }
        }
    }

    fn get_mut(&mut self, token: &[u8]) -> Option<&mut Node<E>> {
        match self {
            Self::Few(children) => {
                children.iter_mut().find(|c| c.token.as_slice() == token).map(|c| &mut c.node)
            }
            Self::Many(children) => children
                .find_mut(HASHER.hash_one(token), |c| c.token.as_slice() == token)
                .map(|c| &mut c.node),
        }
    }

    fn get_or_insert(&mut self, token: &[u8]) -> &mut Node<E> {
        if let Self::Few(children) = self
            && children.len() >= FEW
            && !children.iter().any(|c| c.token.as_slice() == token)
        {
            let mut table = HashTable::with_capacity(FEW * 2);
            for child in children.drain(..) {
                table.insert_unique(HASHER.hash_one(child.token.as_slice()), child, rehash);
            }
            *self = Self::Many(Box::new(table));
        }
        let new = || Child { token: ShortBytes::concat(&[token]), node: Node::default() };
        match self {
            Self::Few(children) => {
                let at = children.iter().position(|c| c.token.as_slice() == token).unwrap_or_else(|| {
                    children.reserve_exact(1);
                    children.push(new());
                    children.len() - 1
                });
                &mut children[at].node
            }
            Self::Many(children) => {
                let hash = HASHER.hash_one(token);
                let entry = children.entry(hash, |c| c.token.as_slice() == token, rehash).or_insert_with(new);
                &mut entry.into_mut().node
            }
        }
    }

    fn remove(&mut self, token: &[u8]) {
        match self {
            Self::Few(children) => {
                children.retain(|c| c.token.as_slice() != token);
                children.shrink_to_fit();
            }
            Self::Many(children) => {
                if let Ok(found) =
                    children.find_entry(HASHER.hash_one(token), |c| c.token.as_slice() == token)
                {
                    found.remove();
                }
                if children.len() <= FEW / 2 {
                    *self = Self::Few(children.drain().collect());
                } else if children.len() * 4 < children.capacity() {
                    let room = children.len() * 2;
                    children.shrink_to(room, rehash);
                }
            }
        }
    }
}

fn rehash<E>(child: &Child<E>) -> u64 {
    HASHER.hash_one(child.token.as_slice())
}
