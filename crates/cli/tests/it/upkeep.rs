//! The tools for a node's files: check and repair, pruning, states as files; also when they are killed
//! on the way or the disk is full.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use redb::{ReadableTable as _, TableDefinition};
use serde_json::{Value, json};

use crate::{
    net::{Process, Said, TILTH, eventually, finish, tilth},
    running::{BLOCKS, MadeChain, Running},
};

const TRANSACTIONS: TableDefinition<'_, &[u8; 32], (u64, u32)> =
    TableDefinition::new("transactions");
const ACCOUNTS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("accounts");

/// Last block of the chain in `old`.
const LAST: u64 = BLOCKS;

/// A folder with chains in folders of their own.
struct Place {
    root: tempfile::TempDir,
    genesis: PathBuf,
}

impl Place {
    /// With a chain of [`LAST`] blocks in `old`.
    fn with_chain() -> Self {
        let root = tempfile::tempdir().unwrap();
        let chain = MadeChain::make();
        let genesis = root.path().join("made.json");
        fs::copy(&chain.genesis, &genesis).unwrap();
        let place = Self { root, genesis };
        place.tool("old", &["import", chain.blocks.to_str().unwrap()]).json();
        place
    }

    /// With a chain in `old` whose genesis holds enough that reading or writing it takes a while.
    fn with_state() -> Self {
        let root = tempfile::tempdir().unwrap();
        let genesis = root.path().join("genesis.json");
        let mut alloc = serde_json::Map::new();
        for number in 0..20_000_u64 {
            let slots: serde_json::Map<String, Value> = (1..=3_u64)
                .map(|slot| (format!("{slot:#066x}"), json!(format!("{:#066x}", number + slot))))
                .collect();
            let account = json!({ "balance": "0x1", "storage": slots });
            alloc.insert(format!("{:#042x}", number + 0x1_0000), account);
        }
        let text = json!({
            "config": { "chainId": 77, "terminalTotalDifficulty": 0, "londonBlock": 0,
                "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0, "eip158Block": 0,
                "byzantiumBlock": 0, "constantinopleBlock": 0, "istanbulBlock": 0,
                "berlinBlock": 0 },
            "gasLimit": "0x1c9c380", "difficulty": "0x0", "alloc": alloc,
        });
        fs::write(&genesis, text.to_string()).unwrap();
        let place = Self { root, genesis };
        place.tool("old", &["init"]).json();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn args(&self, folder: &str, args: &[&str]) -> Vec<String> {
        let dir = self.path(folder).display().to_string();
        let set = format!("genesis={}", self.genesis.display());
        let first = ["node", "--json", "--dir", &dir, "--set", &set].map(str::to_owned);
        first.into_iter().chain(args.iter().map(|arg| (*arg).to_owned())).collect()
    }

    fn tool(&self, folder: &str, args: &[&str]) -> Said {
        finish(Command::new(TILTH).args(self.args(folder, args)))
    }

    fn start_tool(&self, folder: &str, args: &[&str]) -> Process {
        let child = Command::new(TILTH)
            .args(self.args(folder, args))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Process { child }
    }

    /// As [`Self::tool`], on a disk that takes files of at most so many bytes.
    fn tool_on_small_disk(&self, folder: &str, bytes: u64, args: &[&str]) -> Said {
        // The signal is ignored, so that a write beyond the limit fails as one on a full disk does.
        let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", bytes / 512);
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh", TILTH]).args(self.args(folder, args));
        finish(&mut command)
    }

    fn database(&self, folder: &str) -> PathBuf {
        self.path(folder).join("chain.redb")
    }

    /// A copy of a chain, to be damaged.
    fn copy(&self, from: &str, to: &str) -> PathBuf {
        fs::create_dir(self.path(to)).unwrap();
        fs::copy(self.database(from), self.database(to)).unwrap();
        self.database(to)
    }

    fn check(&self, folder: &str) -> Value {
        let report = self.tool(folder, &["fsck"]).json();
        assert_eq!(report["sound"], true, "{report}");
        report
    }

    fn serve(&self, folder: &str) -> Running {
        let set = format!("genesis={}", self.genesis.display());
        Running::start(&self.path(folder), &["--set", &set])
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .map(|entries| entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

#[test]
fn a_chain_is_checked_and_what_follows_from_the_rest_is_repaired() {
    let place = Place::with_chain();
    let report = place.check("old");
    assert_eq!((&report["blocks"], &report["level"]), (&json!(LAST + 1), &json!("full")));
    assert_eq!(report["history_blocks"], LAST + 1);
    assert_eq!(place.tool("old", &["fsck", "--quick"]).json()["blocks"], LAST + 1);

    let database = redb::Database::open(place.copy("old", "index")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TRANSACTIONS).unwrap().pop_first().unwrap().unwrap();
    transaction.commit().unwrap();
    drop(database);
    let found = place.tool("index", &["fsck"]);
    assert!(found.problem().contains("again with repair"), "{found:#?}");
    let report: Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!((&report["sound"], &report["repaired"]), (&json!(false), &json!(false)));
    assert_eq!(report["findings"][0]["place"], "the indices");
    assert_eq!(report["findings"][0]["repairable"], true);
    let repaired = place.tool("index", &["fsck", "--repair"]).json();
    assert_eq!((&repaired["sound"], &repaired["repaired"]), (&json!(true), &json!(true)));
    assert_eq!(repaired["left"], json!([]));
    place.check("index");

    let database = redb::Database::open(place.copy("old", "state")).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut accounts = transaction.open_table(ACCOUNTS).unwrap();
        let (key, mut rlp) = {
            let first = accounts.first().unwrap().unwrap();
            (*first.0.value(), first.1.value().to_vec())
        };
        // The last byte of the code's hash.
        *rlp.last_mut().unwrap() ^= 1;
        accounts.insert(&key, rlp.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    for args in [&["fsck"][..], &["fsck", "--repair"]] {
        let found = place.tool("state", args);
        assert!(found.problem().contains("from a snapshot or a copy"), "{found:#?}");
    }
}

#[test]
fn what_is_no_database_or_in_use_is_refused() {
    let place = Place::with_state();
    let nothing = place.tool("nothing", &["fsck"]);
    assert!(nothing.problem().contains("there is no chain"), "{nothing:#?}");
    assert!(place.tool("nothing", &["prune"]).problem().contains("there is no chain"));
    let file = place.path("file").display().to_string();
    let export = place.tool("nothing", &["snapshot", "export", &file]);
    assert!(export.problem().contains("there is no chain"));
    assert_eq!(names(&place.path("nothing")), Vec::<String>::new());

    let whole = fs::read(place.database("old")).unwrap();
    let half = &whole[..whole.len() / 2];
    for (name, content) in [("nonsense", &b"nonsense"[..]), ("empty", &b""[..]), ("half", half)] {
        fs::create_dir(place.path(name)).unwrap();
        fs::write(place.database(name), content).unwrap();
        for tool in [&["fsck"][..], &["fsck", "--repair"], &["prune"], &["init"]] {
            // An empty file is a database that was never begun.
            if name != "empty" || tool != ["init"] {
                let said = place.tool(name, tool);
                assert!(!said.problem().is_empty(), "{name} {tool:?}");
            }
        }
    }

    let node = place.serve("old");
    for tool in [&["fsck"][..], &["prune"], &["snapshot", "export", &file]] {
        let said = place.tool("old", tool);
        assert!(said.problem().contains("no other process"), "{said:#?}");
    }
    node.stop();
}

#[test]
fn what_is_kept_too_long_is_dropped() {
    let place = Place::with_chain();
    let kept = place.tool("old", &["prune"]).json();
    let of = |report: &Value, name: &str| report[name].as_u64().unwrap();
    assert_eq!((of(&kept, "history_blocks"), of(&kept, "oldest_state")), (0, 0));
    assert_eq!((of(&kept, "body_blocks"), of(&kept, "first_body")), (0, 1));
    let few = ["--set", "limits.history-blocks=10"];
    let pruned = place.tool("old", &[&["prune"][..], &few].concat()).json();
    assert_eq!(of(&pruned, "history_blocks"), LAST - 10);
    assert_eq!((of(&pruned, "oldest_state"), of(&pruned, "first_body")), (LAST - 10, 1));
    assert!(of(&pruned, "bytes_after") <= of(&pruned, "bytes_before"), "{pruned}");
    let again = place.tool("old", &[&["prune"][..], &few].concat()).json();
    assert_eq!((of(&again, "history_blocks"), of(&again, "body_blocks")), (0, 0));
    assert_eq!(place.check("old")["history_blocks"], 11);
    let node = place.serve("old");
    let balance = |number: u64| {
        let account = "0x0000000000000000000000000000000000000000";
        node.rpc("eth_getBalance", json!([account, format!("{number:#x}")]))
    };
    assert!(balance(LAST - 10)["result"].is_string());
    assert!(balance(LAST - 12)["error"]["message"].as_str().unwrap().contains("not available"));
    node.stop();
}

#[test]
fn a_node_goes_on_from_a_state_as_a_file() {
    let place = Place::with_chain();
    let file = place.path("state.snapshot").display().to_string();
    let export = ["snapshot", "export", &file, "--blocks", "30"];
    let written = place.tool("old", &export).json();
    assert_eq!((&written["head"]["number"], &written["blocks"]), (&json!(LAST), &json!(31)));
    let head = written["head"]["hash"].as_str().unwrap();

    let wrong = "0x".to_owned() + &"07".repeat(32);
    let refused = place.tool("new", &["snapshot", "import", &file, "--head", &wrong]);
    assert!(refused.problem().contains(head), "{refused:#?}");
    let dir = place.path("other").display().to_string();
    // Without the option, the genesis is that of the development chain.
    let other = tilth(&["node", "--dir", &dir, "snapshot", "import", &file]);
    assert!(other.problem().contains("genesis"), "{other:#?}");
    let mut damaged = fs::read(&file).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let damaged_file = place.path("damaged").display().to_string();
    fs::write(&damaged_file, damaged).unwrap();
    let refused = place.tool("new", &["snapshot", "import", &damaged_file]);
    assert!(refused.problem().contains("get the file again"), "{refused:#?}");
    let absent = place.tool("new", &["snapshot", "import", "absent"]);
    assert!(absent.problem().contains("absent"));
    assert_eq!(names(&place.path("new")), Vec::<String>::new());

    let taken = place.tool("new", &["snapshot", "import", &file, "--head", head]).json();
    for name in ["head", "genesis", "blocks", "accounts", "slots", "codes"] {
        assert_eq!(taken[name], written[name], "{name}");
    }
    place.check("new");
    let again = place.tool("new", &["snapshot", "import", &file]);
    assert!(again.problem().contains("already"), "{again:#?}");
    // Blocks before the snapshot's are not there.
    let blocks = place.path("out.rlp").display().to_string();
    for args in [&["export", &blocks][..], &["replay"]] {
        let gone = place.tool("new", args);
        assert!(gone.problem().contains("limits.body-blocks"), "{gone:#?}");
    }
    let exported = place.tool("new", &["export", &blocks, "--first", "25"]).json();
    assert_eq!(exported["blocks"], 30);
    let node = place.serve("new");
    assert_eq!(node.number("eth_blockNumber", json!([])), LAST);
    assert_eq!(node.rpc("eth_getBlockByNumber", json!(["latest", false]))["result"]["hash"], head);
    node.stop();
}

#[test]
fn killed_on_the_way_export_and_import_begin_anew() {
    let place = Place::with_state();
    let file = place.path("state.snapshot");
    let name = file.display().to_string();
    let export = ["snapshot", "export", &name];
    let partial = place.path("state.snapshot.partial");
    // Whether a kill comes on the way is a matter of luck, so it is tried until two have.
    let mut killed = 0;
    eventually("exports are killed on the way", || {
        let mut process = place.start_tool("old", &export);
        eventually("the export has begun", || (partial.exists() || file.exists()).then_some(()));
        process.kill();
        killed += u32::from(!file.exists());
        let _ = fs::remove_file(&file);
        (killed > 1).then_some(())
    });
    let written = place.tool("old", &export).json();
    assert_eq!(written["slots"], 60_000);
    assert!(!partial.exists());
    place.check("old");

    let import = ["snapshot", "import", &name];
    place.tool("whole", &import).json();
    let size = fs::metadata(place.database("whole")).unwrap().len();
    let unfinished = place.path("new").join("chain.redb.import");
    let (mut killed, mut tries) = (0, 0);
    eventually("imports are killed on the way", || {
        let share = tries % 6;
        tries += 1;
        let mut process = place.start_tool("new", &import);
        eventually("the import has come so far", || {
            let length = fs::metadata(&unfinished).map(|file| file.len()).ok();
            let ended = process.child.try_wait().unwrap().is_some();
            (ended || length.is_some_and(|length| length >= size * share / 6)).then_some(())
        });
        process.kill();
        if place.database("new").exists() {
            fs::remove_dir_all(place.path("new")).unwrap();
        } else {
            killed += 1;
            assert!(place.tool("new", &["fsck"]).problem().contains("there is no chain"));
        }
        (tries >= 6 && killed > 1).then_some(())
    });
    assert_eq!(place.tool("new", &import).json()["head"], written["head"]);
    assert_eq!(names(&place.path("new")), ["chain.redb"]);
    place.check("new");
}

#[test]
fn a_full_disk_leaves_no_half_files() {
    let place = Place::with_state();
    let file = place.path("state.snapshot").display().to_string();
    let export = ["snapshot", "export", &file];
    let full = place.tool_on_small_disk("old", 1 << 20, &export);
    assert!(full.problem().contains("room on the disk"), "{full:#?}");
    assert!(!names(place.root.path()).iter().any(|name| name.starts_with("state.snapshot")));
    place.tool("old", &export).json();

    let import = ["snapshot", "import", &file];
    let size = fs::metadata(place.database("old")).unwrap().len();
    for bytes in [1 << 16, size / 3] {
        let full = place.tool_on_small_disk("new", bytes, &import);
        assert!(full.problem().contains("room"), "{full:#?}");
        assert_eq!(names(&place.path("new")), Vec::<String>::new());
    }
    place.tool("new", &import).json();
    place.check("new");
}

#[test]
fn forks_move_only_ahead_of_the_last_block() {
    let mut place = Place::with_chain();
    let mut genesis: Value = serde_json::from_slice(&fs::read(&place.genesis).unwrap()).unwrap();
    genesis["config"]["blobSchedule"]["bpo3"] = genesis["config"]["blobSchedule"]["bpo2"].clone();
    place.genesis = place.path("genesis.json");
    let mut init = |name: &str, time: Option<u64>| {
        let config = genesis["config"].as_object_mut().unwrap();
        match time {
            Some(time) => config.insert(name.to_owned(), json!(time)),
            None => config.remove(name),
        };
        fs::write(&place.genesis, genesis.to_string()).unwrap();
        place.tool("old", &["init"])
    };
    assert_eq!(init("bpo3Time", Some(9_000_000_000)).json()["head"]["number"], LAST);
    assert_eq!(init("bpo3Time", Some(8_000_000_000)).json()["head"]["number"], LAST);
    // Before the last block.
    let moved = init("bpo3Time", Some(540));
    assert!(moved.problem().contains("bpo3Time was 8000000000 and is 540 now"), "{moved:#?}");
    assert!(moved.stderr.contains("fresh folder"), "{moved:#?}");
    init("bpo3Time", None).json();
    let moved = init("pragueTime", Some(455));
    assert!(moved.problem().contains("pragueTime was 450 and is 455 now"), "{moved:#?}");
    let moved = init("pragueTime", None);
    assert!(moved.problem().contains("pragueTime was 450 and is never now"), "{moved:#?}");
    init("pragueTime", Some(450)).json();
}
