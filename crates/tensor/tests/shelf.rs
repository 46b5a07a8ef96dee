//! The folder of models: what is put there is found, shown and removed; what is none is refused.
#![cfg(feature = "text")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails with the reason")]

use std::fs;
use std::sync::Arc;

use tilth_tensor::blob::Blob;
use tilth_tensor::import::{Family, synthetic};
use tilth_tensor::model::Model;
use tilth_tensor::shelf::Shelf;

#[test]
fn models_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path().join("models"));
    assert!(shelf.list().unwrap().is_empty());
    let file = folder.path().join("one.blob");
    let bytes = synthetic(Family::Llama, 1).unwrap();
    fs::write(&file, &bytes).unwrap();
    let entry = shelf.import(&file).unwrap();
    assert_eq!((entry.id, entry.size), (blake3::hash(&bytes), bytes.len() as u64));
    assert_eq!(fs::read(&entry.path).unwrap(), bytes);
    assert_eq!(shelf.import(&file).unwrap().id, entry.id, "the same model once more");
    assert_eq!(shelf.list().unwrap().len(), 1);

    fs::write(&file, synthetic(Family::Qwen3, 2).unwrap()).unwrap();
    let other = shelf.import(&file).unwrap();
    assert_eq!(shelf.list().unwrap().len(), 2);
    assert_eq!(shelf.find(&other.id.to_string()[..12]).unwrap().id, other.id);
    // Both are called the same.
    assert!(shelf.find("synthetic").unwrap_err().what.contains("more than one"));
    assert!(shelf.find("").is_err());
    assert_eq!(shelf.remove(&entry.id.to_string()).unwrap().id, entry.id);
    let found = shelf.find("synthetic").unwrap();
    Model::open(&Blob::open(Arc::new(fs::read(found.path).unwrap())).unwrap()).unwrap();
    assert!(shelf.remove(&entry.id.to_string()).unwrap_err().what.contains("no such model"));
}

/// Imports of one process at the same time do not write into each other's files.
#[test]
fn two_imports_at_once_are_two_models() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path().join("models"));
    let files: Vec<_> = (1..5)
        .map(|seed| {
            let path = folder.path().join(seed.to_string());
            fs::write(&path, synthetic(Family::Qwen2, seed).unwrap()).unwrap();
            path
        })
        .collect();
    std::thread::scope(|scope| {
        for file in &files {
            let shelf = &shelf;
            scope.spawn(move || {
                for _ in 0..5 {
                    let entry = shelf.import(file).unwrap();
                    assert_eq!(fs::read(entry.path).unwrap(), fs::read(file).unwrap());
                }
            });
        }
    });
    assert_eq!(shelf.list().unwrap().len(), files.len());
    assert_eq!(fs::read_dir(folder.path().join("models")).unwrap().count(), files.len());
}

#[test]
fn what_is_no_model_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path().join("models"));
    let file = folder.path().join("file");
    assert!(shelf.import(&file).unwrap_err().detail.contains("file"));
    fs::write(&file, b"neither").unwrap();
    assert!(shelf.import(&file).unwrap_err().what.contains("not a GGUF file"));
    let mut cut = synthetic(Family::Llama, 1).unwrap();
    cut.truncate(cut.len() / 2);
    fs::write(&file, cut).unwrap();
    assert!(shelf.import(&file).is_err());
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(shelf.import(&empty).unwrap_err().detail.contains("config.json is missing"));
    assert_eq!(fs::read_dir(folder.path().join("models")).unwrap().count(), 0);
    // Strangers in the folder are passed over.
    fs::write(folder.path().join("models").join("a".repeat(64)), b"short").unwrap();
    fs::write(folder.path().join("models").join("notes"), b"text").unwrap();
    assert!(shelf.list().unwrap().is_empty());
}
