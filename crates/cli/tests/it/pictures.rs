//! The render example: the demo as people run it, and the same bits whatever happens.

use std::{fs, path::Path};

use crate::net::{Net, Process, eventually, repository, tilth};

/// The render example at a third of its width and height and few samples, below the given folder.
fn small_job(dir: &Path) -> String {
    let folder = dir.join("examples/render");
    for name in ["examples/render", "guests/prebuilt"] {
        fs::create_dir_all(dir.join(name)).unwrap();
        for entry in fs::read_dir(repository(name)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), dir.join(name).join(entry.file_name())).unwrap();
        }
    }
    let set = |name: &str, values: &[(&str, u32)]| {
        let path = folder.join(name);
        let text = fs::read_to_string(&path).unwrap();
        let mut changed = 0;
        let mut lines = Vec::new();
        for line in text.lines() {
            let trimmed = line.trim_start().trim_start_matches('"');
            match values.iter().find(|(key, _)| {
                let rest = trimmed.strip_prefix(key).unwrap_or("-").trim_start_matches('"').trim();
                rest.starts_with('=') || rest.starts_with(':')
            }) {
                Some((key, value)) if name.ends_with("json") => {
                    lines.push(format!("  \"{key}\": {value},"));
                    changed += 1;
                }
                Some((key, value)) => {
                    lines.push(format!("{key} = {value}"));
                    changed += 1;
                }
                None => lines.push(line.to_owned()),
            }
        }
        assert_eq!(changed, values.len(), "{name}");
        fs::write(path, lines.join("\n")).unwrap();
    };
    let size = [("width", 320), ("height", 180), ("tile", 32)];
    set("job.toml", &size);
    set("render.json", &[&size[..], &[("samples", 4)]].concat());
    folder.join("job.toml").display().to_string()
}

#[test]
fn demo_renders_a_picture_and_pays_three_providers() {
    let dir = tempfile::tempdir().unwrap();
    let said = tilth(&["demo", "--out", dir.path().to_str().unwrap()]);
    assert!(said.status.success(), "{said:#?}");
    let mut lines = said.stdout.lines().rev();
    let sha256 = lines.next().unwrap().strip_prefix("sha256: ").unwrap();
    let picture = lines.next().unwrap().strip_prefix("picture: ").unwrap();
    assert_eq!(sha256.len(), 64);
    for name in ["provider-1", "provider-2", "provider-3"] {
        assert!(said.stdout.contains(name), "{said:#?}");
    }
    let decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(picture).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    // Not a flat picture: many different values, none of them everywhere.
    let mut counts = [0_usize; 256];
    pixels.iter().for_each(|value| counts[usize::from(*value)] += 1);
    assert!(counts.iter().filter(|count| **count > 0).count() > 100);
    assert!(counts.iter().all(|count| *count < pixels.len() / 2));
    // The same bits as always, on every machine: the golden hash is committed beside the example.
    let golden = fs::read_to_string(repository("examples/render/picture.sha256")).unwrap();
    assert_eq!(sha256, golden.trim());
}

#[test]
fn interrupted_demo_says_what_is_left_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let mut demo = Process::start(dir.path(), &["demo", "--out", out.to_str().unwrap()]);
    let log = || fs::read_to_string(dir.path().join("stderr.log")).unwrap_or_default();
    eventually("the job is open", || log().contains("job 1 is open").then_some(()));
    demo.signal("INT");
    assert_eq!(demo.wait().code(), Some(130), "{}", log());
    let network = out.join("network").canonicalize().unwrap();
    assert!(log().contains(&format!("tilth up --dir {}", network.display())), "{}", log());
}

#[test]
fn picture_is_the_same_with_any_number_of_providers_and_kills() {
    let mut one = Net::start(1);
    let job = small_job(one.dir.path());
    let alone = one.json(&["run", &job]);
    one.kill();

    let mut net = Net::start(3);
    let listen = net.rpc().trim_start_matches("http://").to_owned();
    let mut run = net.spawn(&["run", &job]);
    eventually("some tiles are handed in", || {
        let said = net.tilth(&["job", "show", "1", "--json"]);
        let shown: serde_json::Value = serde_json::from_str(&said.stdout).ok()?;
        (shown["totals"]["units"].as_u64()? > 0).then_some(())
    });
    net.kill();
    net.up(3, &["--listen", &listen]);
    assert!(run.wait().success(), "{}", net.log());
    let together = net.json(&["job", "fetch", "1"]);
    assert_eq!(together["sha256"], alone["sha256"]);

    // And the same as on bare workers, without any network.
    let out = one.dir.path().join("bare.png");
    let bare = tilth(&["try", &job, "--workers", "2", "--json", "--out", out.to_str().unwrap()]);
    assert_eq!(bare.json()["sha256"], alone["sha256"]);
}
