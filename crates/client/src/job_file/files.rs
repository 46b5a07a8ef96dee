//! The `[files]` of a job file: one task per file of a folder.
//!
//! What a careful user expects of `photos/` or `photos/*.jpg`: regular files of that folder in the order of
//! their names; no hidden files, nothing from folders below, and no symbolic links, which may lead anywhere.
//! What is left out is said. A file that is named itself is taken as it is.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tilth_protocol::{Problem, spec::is_file_name};

/// Most files, so that there is room for other inputs beside them.
pub(super) const MAX_FILES: usize = 1_000;
/// Most entries of a folder that are looked at.
const MAX_ENTRIES: usize = 100_000;

/// The table as written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct FilesText {
    pub(super) from: Places,
    /// Outputs are called like their files, with this extension instead.
    pub(super) extension: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a path or a list of paths")]
pub(super) enum Places {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

impl Places {
    pub(super) fn all(&self) -> &[PathBuf] {
        match self {
            Self::One(place) => std::slice::from_ref(place),
            Self::Many(places) => places,
        }
    }
}

/// Files that were found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Name and place of each, in the order of the tasks.
    pub(super) files: Vec<(String, PathBuf)>,
    /// What was left out, for people.
    pub(super) notes: Vec<String>,
}

/// Looks files up. Each place is a file, a folder, or a folder with a pattern of names.
pub(super) fn find<'a>(places: impl Iterator<Item = &'a PathBuf>) -> Result<Found, Problem> {
    let mut found = Found::default();
    let mut places_of: BTreeMap<String, PathBuf> = BTreeMap::new();
    for place in places {
        for (name, path) in look(place, &mut found.notes)? {
            if let Some(other) = places_of.insert(name.clone(), path.clone()) {
                return Err(Problem::new(
                    "two files have the same name",
                    format!("{} and {}", other.display(), path.display()),
                    "a task sees its file by its name alone: rename one, or name fewer folders",
                ));
            }
            if places_of.len() > MAX_FILES {
                return Err(Problem::new(
                    "there are too many files for one job",
                    format!("more than {MAX_FILES} at {}", place.display()),
                    "name a part of them, for example with a pattern, and run several jobs",
                ));
            }
        }
    }
    // By name, whatever order the places were named in: a shell's differs from machine to machine.
    found.files = places_of.into_iter().collect();
    if found.files.is_empty() {
        let left_out = found.notes.join("; ");
        return Err(Problem::new(
            "there are no files to work on",
            if left_out.is_empty() { "the folders are empty".to_owned() } else { left_out },
            "name a folder with files, or the files themselves",
        ));
    }
    Ok(found)
}

/// The files of one place, by name.
fn look(place: &Path, notes: &mut Vec<String>) -> Result<BTreeMap<String, PathBuf>, Problem> {
    let unreadable = |error: io::Error| {
        Problem::new(
            "the files cannot be listed",
            format!("{}: {error}", place.display()),
            "check the path; in a job file it is relative to the job file",
        )
    };
    match fs::metadata(place) {
        Ok(metadata) if metadata.is_dir() => scan(place, "*", notes),
        Ok(_) => Ok(BTreeMap::from([(name_of(place)?, place.to_owned())])),
        Err(error) => {
            let pattern = place.file_name().and_then(|name| name.to_str());
            let pattern = pattern.filter(|name| name.contains(['*', '?']));
            let Some(pattern) = pattern else { return Err(unreadable(error)) };
            let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty());
            scan(folder.unwrap_or(Path::new(".")), pattern, notes)
        }
    }
}

fn scan(
    folder: &Path,
    pattern: &str,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<String, PathBuf>, Problem> {
    let unreadable = |error: io::Error| {
        Problem::new(
            "the files cannot be listed",
            format!("{}: {error}", folder.display()),
            "check the path and its permissions; patterns (* and ?) are for the last part only",
        )
    };
    let mut files = BTreeMap::new();
    let (mut hidden, mut links, mut folders, mut odd) = (0, 0, 0, 0);
    for (seen, entry) in fs::read_dir(folder).map_err(unreadable)?.enumerate() {
        if seen >= MAX_ENTRIES {
            let error = format!("more than {MAX_ENTRIES} entries");
            return Err(unreadable(io::Error::other(error)));
        }
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        if !matches(pattern.as_bytes(), entry.file_name().as_encoded_bytes()) {
            continue;
        }
        // Of the entry itself: a link is not followed.
        let kind = entry.file_type().map_err(unreadable)?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            hidden += 1;
        } else if kind.is_symlink() {
            links += 1;
        } else if kind.is_dir() {
            folders += 1;
        } else if kind.is_file() {
            files.insert(name_of(&path)?, path);
        } else {
            odd += 1;
        }
    }
    let left_out: Vec<String> = [
        (hidden, "hidden"),
        (links, "symbolic links"),
        (folders, "folders"),
        (odd, "pipes, sockets or devices"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    if !left_out.is_empty() {
        notes.push(format!("left out of {}: {}", folder.display(), left_out.join(", ")));
    }
    Ok(files)
}

fn name_of(path: &Path) -> Result<String, Problem> {
    let name = path.file_name().and_then(|name| name.to_str()).filter(|name| is_file_name(name));
    name.map(str::to_owned).ok_or_else(|| {
        Problem::new(
            "a file's name cannot be used",
            format!("{path:?}"),
            "names are UTF-8 of at most 128 bytes, without control characters and backslashes",
        )
    })
}

/// `*` is any number of bytes, `?` one; all others are themselves. Takes at most pattern x name steps.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => {
                (p, n) = (p + 1, n + 1);
            }
            _ => {
                // Let the last star take one byte more.
                let Some((after, taken)) = star else { return false };
                star = Some((after, taken + 1));
                (p, n) = (after, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// The names of the outputs: those of the files, with another extension if one is given.
pub(super) fn outputs(files: &[(String, PathBuf)], extension: &str) -> Vec<String> {
    let extension = extension.trim_start_matches('.');
    let named = |(name, _): &(String, PathBuf)| {
        let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or(name);
        format!("{stem}.{extension}")
    };
    files.iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(found: &Found) -> Vec<&str> {
        found.files.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["b.txt", "a.txt", "c.dat", ".hidden", "B.txt"] {
            fs::write(at(name), name).unwrap();
        }
        fs::create_dir(at("below")).unwrap();
        fs::write(at("below/deep.txt"), "deep").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", at("link.txt")).unwrap();
        assert!(
            std::process::Command::new("mkfifo").arg(at("pipe.txt")).status().unwrap().success()
        );
        dir
    }

    #[test]
    fn a_folder_gives_its_plain_files_in_order_and_says_what_it_left_out() {
        let dir = folder();
        let found = find([dir.path().to_owned()].iter()).unwrap();
        assert_eq!(names(&found), ["B.txt", "a.txt", "b.txt", "c.dat"]);
        assert_eq!(found.notes.len(), 1);
        for word in ["1 hidden", "1 symbolic links", "1 folders", "1 pipes"] {
            assert!(found.notes[0].contains(word), "{:?}", found.notes);
        }
        let found = find([dir.path().join("*.txt")].iter()).unwrap();
        assert_eq!(names(&found), ["B.txt", "a.txt", "b.txt"]);
        // Named itself, a link is what the user means.
        let found = find([dir.path().join("link.txt")].iter()).unwrap();
        assert_eq!(names(&found), ["link.txt"]);
    }

    #[test]
    fn nothing_twice_nothing_missing_nothing_endless() {
        let dir = folder();
        let at = |name: &str| dir.path().join(name);
        let refused = |places: &[PathBuf], names: &str| {
            let problem = find(places.iter()).unwrap_err();
            assert!(problem.to_string().contains(names), "{problem}");
        };
        refused(&[at("a.txt"), at("*.txt")], "the same name");
        refused(&[at("absent.txt")], "absent.txt");
        refused(&[at("absent/*.txt")], "cannot be listed");
        refused(&[at("*.png")], "no files");
        refused(&[at("be*/deep.txt")], "cannot be listed");
        fs::create_dir(at("many")).unwrap();
        for number in 0..=MAX_FILES {
            fs::write(at(&format!("many/{number}")), "").unwrap();
        }
        refused(&[at("many")], "too many");
        fs::write(at("below/back\\slash"), "").unwrap();
        refused(&[at("below")], "name cannot be used");
    }

    #[test]
    fn outputs_can_have_another_extension() {
        let files = [("a.tar.gz".to_owned(), PathBuf::new()), ("b".to_owned(), PathBuf::new())];
        assert_eq!(outputs(&files, ".png"), ["a.tar.png", "b.png"]);
    }

    proptest! {
        /// The same as the plain recursive definition.
        #[test]
        fn patterns_match_as_defined(pattern in "[ab*?]{0,8}", name in "[ab]{0,8}") {
            fn slow(p: &[u8], n: &[u8]) -> bool {
                match (p.split_first(), n.split_first()) {
                    (None, None) => true,
                    (Some((b'*', rest)), None) => slow(rest, n),
                    (Some((b'*', rest)), Some((_, tail))) => slow(rest, n) || slow(p, tail),
                    (Some((b'?', rest)), Some((_, tail))) => slow(rest, tail),
                    (Some((x, rest)), Some((y, tail))) => x == y && slow(rest, tail),
                    _ => false,
                }
            }
            prop_assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), slow(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
