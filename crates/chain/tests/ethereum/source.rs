//! Where the test files lie: a folder of JSON files, or packs of many files as gzipped lines.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Names the folder with a checkout of ethereum/tests.
pub const CHECKOUT: &str = "TILTH_ETHEREUM_TESTS";

/// End of a pack's file name.
const PACK: &str = ".jsonl.gz";

/// A file of tests.
pub struct TestFile {
    /// Relative to the root of the collection.
    pub path: String,
    /// A JSON object of tests by name.
    pub json: String,
}

/// One line of a pack.
#[derive(Deserialize)]
struct Line<'a> {
    path: String,
    #[serde(borrow)]
    tests: &'a RawValue,
}

/// The checkout that was named.
pub fn checkout() -> PathBuf {
    let named = std::env::var_os(CHECKOUT);
    named.unwrap_or_else(|| panic!("{CHECKOUT} names no checkout of ethereum/tests")).into()
}

/// Calls `each` with every test file in the folder `under` of `root`, in the order of their names.
pub fn visit(root: &Path, under: &str, each: &mut impl FnMut(&TestFile)) {
    let folder = root.join(under);
    let entries = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", folder.display()));
    let mut entries: Vec<_> = entries.map(Result::unwrap).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{under}/{name}");
        if entry.file_type().unwrap().is_dir() {
            visit(root, &path, each);
        } else if name.ends_with(".json") {
            let json = fs::read_to_string(root.join(&path)).unwrap();
            each(&TestFile { path, json });
        } else if name.ends_with(PACK) {
            unpack(&root.join(&path), each);
        }
    }
}

fn unpack(pack: &Path, each: &mut impl FnMut(&TestFile)) {
    for line in BufReader::new(GzDecoder::new(fs::File::open(pack).unwrap())).lines() {
        let line = line.unwrap();
        let Line { path, tests } = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("{}: {error}", pack.display()));
        each(&TestFile { path, json: tests.get().to_owned() });
    }
}
