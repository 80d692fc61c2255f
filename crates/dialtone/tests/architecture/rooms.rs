//! The rooms of a crate are the files and folders in its `src`; each knows only those that stand before it in docs/ARCHITECTURE.md.

use crate::source::{self, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Who knows whom among the rooms of a crate or of one of its folders, and by which files.
pub struct Rooms {
    pub arrows: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

impl Rooms {
    /// `name` is a crate, or a folder of it behind `::`.
    pub fn of(crates: &Path, name: &str) -> Self {
        let mut parts = name.split("::");
        let src = crates.join(parts.next().unwrap_or_default()).join("src");
        let base: Vec<String> = parts.map(str::to_owned).collect();
        let mut sources = source::all(&src);
        sources.retain(|source| source.module.starts_with(&base));
        let (roots, inner): (Vec<Source>, Vec<Source>) =
            sources.into_iter().partition(|source| source.module.len() == base.len());
        let room = |module: &[String]| module.strip_prefix(&base[..])?.first().cloned();
        let mut arrows: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> =
            inner.iter().filter_map(|source| Some((room(&source.module)?, BTreeMap::new()))).collect();
        // Names that the root has from a room.
        let lent: BTreeMap<String, String> = roots
            .iter()
            .flat_map(Source::imported)
            .filter_map(|(here, path)| Some((here, room(&path)?)))
            .filter(|(_, room)| arrows.contains_key(room))
            .collect();
        for source in &inner {
            let Some(from) = room(&source.module) else { continue };
            for path in source.named() {
                let Some(named) = room(&path) else { continue };
                let to = if arrows.contains_key(&named) {
                    named
                } else if let Some(room) = lent.get(&named) {
                    room.clone()
                } else {
                    let ours = |root: &Source| root.text.contains(&format!(" {named}"));
                    assert!(
                        roots.iter().any(ours),
                        "{}: what is {}?",
                        source.path.display(),
                        path.join("::")
                    );
                    continue;
                };
                if to != from {
                    let file = source.module.join("::");
                    arrows.entry(from.clone()).or_default().entry(to).or_default().insert(file);
                }
            }
        }
        Self { arrows }
    }

    /// How many rooms are on a circle.
    pub fn in_circles(&self) -> usize {
        self.arrows.keys().filter(|room| self.reached_from(room).contains(room.as_str())).count()
    }

    fn reached_from(&self, room: &str) -> BTreeSet<&str> {
        let (mut reached, mut open) = (BTreeSet::new(), vec![room]);
        while let Some(next) = open.pop() {
            for to in self.arrows.get(next).into_iter().flat_map(BTreeMap::keys) {
                if reached.insert(to.as_str()) {
                    open.push(to);
                }
            }
        }
        reached
    }
}

/// The table: a row is `` | `crate` | `room`, `room`, … | ``.
pub fn drawn(text: &str) -> Vec<(String, Vec<String>)> {
    let table = text.lines().skip_while(|line| !line.starts_with("| crate | rooms")).skip(2);
    let cell = |text: &str| text.trim().trim_matches('`').to_owned();
    table
        .map_while(|line| line.strip_prefix('|')?.strip_suffix('|')?.split_once('|'))
        .map(|(name, rooms)| (cell(name), rooms.split(',').map(cell).collect()))
        .collect()
}

#[test]
fn rooms_know_only_those_before_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("docs/ARCHITECTURE.md")).expect("the map is there");
    let drawn = drawn(&text);
    assert!(drawn.len() > 5, "docs/ARCHITECTURE.md has the table of rooms");
    let mut wrong = Vec::new();
    for (name, order) in &drawn {
        let rooms = Rooms::of(&root.join("crates"), name);
        let built: BTreeSet<&String> = rooms.arrows.keys().collect();
        assert_eq!(
            order.iter().collect::<BTreeSet<_>>(),
            built,
            "the rooms of {name} in docs/ARCHITECTURE.md"
        );
        let floor = |room: &String| order.iter().position(|other| other == room);
        for (from, known) in &rooms.arrows {
            for (to, files) in known.iter().filter(|(to, _)| floor(to) > floor(from)) {
                wrong.push(format!("{name}: {from} knows {to}, which comes after it ({files:?})"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_is_read() {
    let text = "x\n| crate | rooms, the ground first |\n|---|---|\n| `a::b` | `c`, `d` |\n\n| `e` | `f` |\n";
    assert_eq!(drawn(text), [("a::b".to_owned(), vec!["c".to_owned(), "d".to_owned()])]);
}
