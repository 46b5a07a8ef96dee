//! Job files, good and bad.

use std::fs;

use super::*;

const GOOD: &str = r#"
    name = "test"
    program = "p.wasm"
    tasks = 3
    [inputs]
    "small" = "small.bin"
    "large" = "large.bin"
    [limits]
    gfuel-per-task = 0.0015
    memory = "1MiB"
    [price]
    per-gfuel = "0.5"
    [schedule]
    target = "2s"
"#;

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("p.wasm"), b"\0asm\x01\0\0\0").unwrap();
    fs::write(dir.path().join("small.bin"), [1, 2, 3]).unwrap();
    fs::write(dir.path().join("large.bin"), vec![5; 100_000]).unwrap();
    dir
}

fn load_text(dir: &tempfile::TempDir, text: &str) -> Result<PreparedJob, Problem> {
    let path = dir.path().join("job.toml");
    fs::write(&path, text).unwrap();
    load(&path)
}

#[test]
fn good_file_becomes_spec_offer_and_files() {
    let dir = folder();
    let job = load_text(&dir, GOOD).unwrap();
    assert_eq!(job.spec.limits.unit_cap, 2);
    assert_eq!(job.spec.task_count, 3);
    assert_eq!(job.offer.target_s, 2);
    assert_eq!(job.offer.range_timeout_s, 60);
    assert_eq!(job.files.len(), 2);
    assert_eq!(job.files[1].0, ContentRef::of(&vec![5; 100_000]));
    let names: Vec<_> = job.spec.inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(names, ["large", "small"]);
    assert_eq!(job.most_cost(1), Some(Amount(6 * job.offer.price.0)));
}

#[test]
fn what_a_job_costs_is_for_all_providers_of_its_ranges() {
    let dir = folder();
    let alone = load_text(&dir, GOOD).unwrap();
    let judged =
        |text: &str| load_text(&dir, &format!("{GOOD}\n[verification]\n{text}\n")).unwrap();
    let both = judged("audited = true\nreplicas = 2");
    assert_eq!((alone.offer.replicas, both.offer.replicas), (1, 2));
    let most = alone.most_cost(1).unwrap();
    assert_eq!(both.most_cost(1), Some(Amount(2 * most.0)));
    assert_eq!((alone.most_worth(1), both.most_worth(1)), (Some(most), Some(most)));
    // Not refused yet: the command line may say `--audited`.
    assert!(judged("replicas = 2").offer.check().is_err());
}

#[test]
fn for_how_long_results_are_kept_is_part_of_the_offer() {
    let dir = folder();
    let kept = |text: &str| load_text(&dir, &format!("{GOOD}\n[verification]\n{text}\n"));
    assert_eq!(kept("audited = true").unwrap().offer.keep_s, None);
    assert_eq!(kept("audited = true\nkeep = \"7d\"").unwrap().offer.keep_s, Some(604_800));
    // Not refused yet: the command line may say `--audited`.
    assert!(kept("keep = \"7d\"").unwrap().offer.check().is_err());
    for keep in ["\"59m\"", "\"400d\"", "7"] {
        let problem = kept(&format!("keep = {keep}")).unwrap_err();
        assert!(problem.detail.contains("keep"), "{keep}: {problem}");
    }
}

#[test]
fn what_providers_must_have_proved_is_part_of_the_offer() {
    let dir = folder();
    assert_eq!(load_text(&dir, GOOD).unwrap().offer.required_class, 0);
    let text =
        format!("{GOOD}\n[requires]\nclasses = [\"int8-10g\", \"gpu\"]\nvram = \"1536MiB\"\n");
    let offer = load_text(&dir, &text).unwrap().offer;
    assert_eq!((offer.required_class, offer.min_vram_mib), (0x101, 1_536));
    for (wrong, names) in [("classes = [\"fast\"]", "int8-10g"), ("vram = \"9999999TiB\"", "vram")]
    {
        let text = format!("{GOOD}\n[requires]\n{wrong}\n");
        let problem = load_text(&dir, &text).unwrap_err().to_string();
        assert!(problem.contains(names), "{problem}");
    }
}

#[test]
fn every_mistake_is_named_with_advice() {
    let dir = folder();
    let refused = |from: &str, to: &str, names: &str| {
        assert!(GOOD.contains(from));
        let problem = load_text(&dir, &GOOD.replace(from, to)).expect_err(names);
        assert!(problem.to_string().contains(names), "{names}: {problem}");
        assert!(!problem.advice.is_empty());
    };
    refused("tasks = 3", "", "tasks");
    refused("tasks = 3", "tasks = 0", "number of tasks");
    refused("tasks = 3", "tasks = -1", "tasks");
    refused("tasks = 3", "tasks = 3\nbogus = 1", "bogus");
    refused("p.wasm", "missing.wasm", "missing.wasm");
    refused("p.wasm", "small.bin", "not WebAssembly");
    refused("small.bin", "missing.bin", "missing.bin");
    refused("\"small\" =", "\"../small\" =", "plain file name");
    refused("0.0015", "nan", "gfuel-per-task");
    refused("0.0015", "-1.0", "gfuel-per-task");
    refused("0.0015", "1e13", "gfuel-per-task");
    refused("0.0015", "1e8", "unit cap");
    refused("1MiB", "1XB", "1XB");
    refused("1MiB", "5GiB", "memory");
    refused("\"0.5\"", "\"abc\"", "per-gfuel");
    refused("\"0.5\"", "\"0\"", "zero");
    refused("\"2s\"", "\"0s\"", "schedule.target");
    refused("\"2s\"", "\"2s\"\nrange-timeout = \"2d\"", "schedule.range-timeout");
    for replicas in ["0", "3", "-1", "true"] {
        let to = format!("[verification]\nreplicas = {replicas}\n[price]");
        refused("[price]", &to, "replicas");
    }
    refused("name = \"test\"", "name = \"\"", "name");
    refused("[price]", "[price", "job.toml");
}

#[test]
fn oversized_and_binary_files_are_refused() {
    let dir = folder();
    let path = dir.path().join("job.toml");
    fs::write(&path, vec![b'#'; 2 << 20]).unwrap();
    assert!(load(&path).unwrap_err().what.contains("too large"));
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(load(&path).unwrap_err().detail.contains("UTF-8"));
    assert!(load(&dir.path().join("absent.toml")).unwrap_err().detail.contains("absent.toml"));
}

#[test]
fn pipes_devices_and_folders_are_refused_at_once() {
    let dir = folder();
    let made = std::process::Command::new("mkfifo").arg(dir.path().join("pipe")).status();
    assert!(made.unwrap().success());
    for odd in ["pipe", "/dev/zero", "."] {
        for place in ["\"p.wasm\"", "\"large.bin\"\n    [limits]", "\"small.bin\"\n"] {
            let changed = place.replacen(place.split('"').nth(1).unwrap(), odd, 1);
            let problem = load_text(&dir, &GOOD.replacen(place, &changed, 1)).unwrap_err();
            assert!(problem.detail.contains("not a regular file"), "{odd}: {problem}");
        }
        let problem = load(&dir.path().join(odd)).unwrap_err();
        assert!(problem.detail.contains("not a regular file"), "{odd}: {problem}");
    }
}

#[test]
fn a_clock_has_floor_cap_and_finish() {
    let dir = folder();
    let posted = "[price]\n    per-gfuel = \"0.5\"";
    let priced = |price: &str| load_text(&dir, &GOOD.replace(posted, price));
    let clock = "[price]\nkind = \"clock\"\nfloor = \"0.1\"\ncap = \"0.4\"\nfinish = \"2h\"";
    let offer = priced(clock).unwrap().offer;
    let unit = |text| Price::from_grain_per_gfuel(text).unwrap();
    let expected = Clock { floor: unit("0.1"), cap: unit("0.4"), finish_s: 7_200 };
    assert_eq!((offer.price, offer.clock), (expected.cap, Some(expected)));
    for (from, to, word) in [
        ("floor = \"0.1\"", "floor = \"0.5\"", "above"),
        ("floor = \"0.1\"", "", "floor is missing"),
        ("\"2h\"", "\"15s\"", "at least 16 s"),
        ("\"2h\"", "\"25h\"", "deadline"),
        ("cap = \"0.4\"", "cap = \"0\"", "zero"),
        ("cap = \"0.4\"", "cap = \"0.4\"\nper-gfuel = \"1\"", "mixes"),
        ("kind = \"clock\"", "", "mixes"),
        ("kind = \"clock\"", "kind = \"auction\"", "auction"),
    ] {
        let problem = priced(&clock.replace(from, to)).unwrap_err();
        assert!(problem.detail.contains(word), "{to}: {problem}");
    }
    assert!(priced("[price]").unwrap_err().detail.contains("per-gfuel is missing"));
}

#[test]
fn pictures_know_their_number_of_tasks() {
    let dir = folder();
    let image = "[output]\nkind = \"image\"\nwidth = 100\nheight = 60\ntile = 32\n";
    let text = GOOD.replace("tasks = 3", "") + image;
    assert_eq!(load_text(&dir, &text).unwrap().spec.task_count, 8);
    let wrong = GOOD.to_owned() + image;
    assert!(load_text(&dir, &wrong).unwrap_err().detail.contains("tiles"));
}

const FOLLOWED: &str = r#"
    name = "squares"
    program = "p.wasm"
    [sweep]
    x = { from = 1, to = 3 }
    [limits]
    gfuel-per-task = 1
    memory = "1MiB"
    [price]
    per-gfuel = "0.5"
    [after]
    program = "p.wasm"
    failed-tasks = "leave-out"
    output = { kind = "files", names = ["sum.txt", "plot.svg"] }
    inputs = { "small" = "small.bin" }
    [after.limits]
    gfuel-per-task = 2
    memory = "1MiB"
"#;

fn load_stages(dir: &tempfile::TempDir, text: &str) -> Result<Loaded, Problem> {
    let path = dir.path().join("job.toml");
    fs::write(&path, text).unwrap();
    load_all(&path, &[])
}

#[test]
fn a_job_can_be_followed_by_others() {
    let dir = folder();
    let loaded = load_stages(&dir, FOLLOWED).unwrap();
    let [map, reduce] = loaded.stages.as_slice() else { panic!("{loaded:?}") };
    assert_eq!((map.job.spec.task_count, reduce.job.spec.task_count), (3, 2));
    assert_eq!(reduce.job.spec.name, "squares, after");
    assert_eq!(reduce.job.offer.price, map.job.offer.price);
    assert_eq!(reduce.failed_tasks, FailedTasks::LeaveOut);
    let table = task_table::TaskTable::of(&map.job.spec);
    assert_eq!(table.rows, [["1"], ["2"], ["3"]]);
    assert_eq!(task_table::TaskTable::of(&reduce.job.spec).output(1), "plot.svg");
    // It is more than one job, which not every command can take.
    assert!(load(&dir.path().join("job.toml")).unwrap_err().detail.contains("[after]"));
}

#[test]
fn mistakes_in_what_follows_are_named() {
    let dir = folder();
    let refused = |from: &str, to: &str, names: &str| {
        assert!(FOLLOWED.contains(from), "{from}");
        let problem = load_stages(&dir, &FOLLOWED.replacen(from, to, 1)).expect_err(names);
        assert!(problem.to_string().contains(names), "{names}: {problem}");
    };
    refused("name = \"squares\"", "", "name");
    refused("[sweep]", "failed-tasks = \"stop\"\n[sweep]", "move it into [after]");
    refused("\"leave-out\"", "\"ignore\"", "ignore");
    refused("\"plot.svg\"", "\"sum.txt\"", "names of outputs");
    refused("\"plot.svg\"", "\"../x\"", "names of outputs");
    refused("\"small\" =", "\"map.csv\" =", "a result of the job before");
    refused("\"small\" =", "\"1\" =", "a result of the job before");
    refused("[sweep]", "tasks = 4\n[sweep]", "3 combinations");
    refused("to = 3", "to = 2000", "too many inputs");
    refused("[sweep]", "files = { from = \".\" }\n[sweep]", "together");
    refused("[after.limits]", "[after.after]\n[after.limits]", "program");
    let mut deep = FOLLOWED.to_owned();
    for depth in 2..20 {
        let table = "after.".repeat(depth);
        let table = table.trim_end_matches('.');
        deep += &format!(
            "\n[{table}]\nprogram = \"p.wasm\"\ntasks = 1\n[{table}.limits]\ngfuel-per-task = 1\nmemory = \"1MiB\"\n"
        );
    }
    assert!(load_stages(&dir, &deep).unwrap_err().detail.contains("more than 8 jobs"));
    let deep = format!("{FOLLOWED}\n[{}x]\n", "after.".repeat(5_000));
    assert!(load_stages(&dir, &deep).is_err());
}

#[test]
fn a_folder_gives_one_task_per_file() {
    let dir = folder();
    fs::create_dir(dir.path().join("photos")).unwrap();
    for name in ["b.jpg", "a.jpg", "c.gif", ".secret"] {
        fs::write(dir.path().join("photos").join(name), name).unwrap();
    }
    let text = GOOD.replace("tasks = 3", "files = { from = \"photos\", extension = \"png\" }");
    let loaded = load_stages(&dir, &text).unwrap();
    let spec = &loaded.stages[0].job.spec;
    let table = task_table::TaskTable::of(spec);
    assert_eq!(spec.task_count, 3);
    assert_eq!(table.files, ["a.jpg", "b.jpg", "c.gif"]);
    assert_eq!(table.output(2), "c.png");
    assert!(loaded.notes[0].contains("1 hidden"), "{:?}", loaded.notes);
    // Named by the caller, the folder's own list does not count.
    let only = [dir.path().join("photos/b.jpg")];
    let spec = load_all(&dir.path().join("job.toml"), &only).unwrap().stages[0].job.spec.clone();
    assert_eq!((spec.task_count, task_table::TaskTable::of(&spec).output(0)), (1, "b.png".into()));
    fs::write(dir.path().join("photos/a.gif"), "").unwrap();
    assert!(load_stages(&dir, &text).unwrap_err().detail.contains("names of outputs"));
    fs::write(dir.path().join("photos/small"), "").unwrap();
    assert!(
        load_stages(&dir, &GOOD.replace("tasks = 3", "files.from = \"photos\""))
            .unwrap_err()
            .detail
            .contains("twice")
    );
}
