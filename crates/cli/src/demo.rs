//! `tilth demo`: a network in a temporary folder renders a real scene.
//!
//! The example is inside the program, so the demo works from any folder.

use std::{fs, io, path::Path, process::ExitCode};

use serde_json::json;
use tilth_client::job_file;
use tilth_devnet::{ChainChoice, Devnet, Topology};
use tilth_protocol::Problem;
use tilth_sandbox::GpuUse;

use crate::{
    DETACHED, Ended,
    args::{Common, Demo, Results},
    place::Place,
    print_json,
    run::{Followed, Following, open_jobs},
    store::Store,
    up::{listen, own_command, stay},
};

/// The render example, file by file, laid out as in the repository.
pub const EXAMPLE: &[(&str, &[u8])] = &[
    (JOB, include_bytes!("../../../examples/render/job.toml")),
    ("examples/render/scene.glb", include_bytes!("../../../examples/render/scene.glb")),
    ("examples/render/environment.hdr", include_bytes!("../../../examples/render/environment.hdr")),
    ("examples/render/render.json", include_bytes!("../../../examples/render/render.json")),
    ("examples/render/LICENSES.md", include_bytes!("../../../examples/render/LICENSES.md")),
    (
        "guests/prebuilt/path-tracer.wasm",
        include_bytes!("../../../guests/prebuilt/path-tracer.wasm"),
    ),
];

/// The job file among them.
const JOB: &str = "examples/render/job.toml";

pub async fn demo(common: Common, args: Demo) -> Ended {
    let mut signals = listen()?;
    let (dir, temporary) = folder(&args)?;
    unpack(&dir)?;
    if !common.json {
        eprintln!("starting a network with {} providers in {}", args.providers, dir.display());
    }
    let devnet = tokio::select! {
        started = start(&dir, &args) => started?,
        _ = signals.next() => return Ok(ExitCode::from(DETACHED)),
    };
    let place = Place::open(&Common { dir: Some(dir.join("network")), ..common.clone() })?;
    let store = Store::open(&place.dir, None).await?;
    let jobs = open_jobs(&place, tilth_devnet::CLIENT, &store)?;
    let prepared = job_file::load(&dir.join(JOB))?;
    let began = std::time::Instant::now();
    let agreed = jobs.submit(&prepared, None).await.map_err(|error| error.problem())?;
    if !common.json {
        eprintln!("job {} is open: {} tiles", agreed.job, agreed.spec.task_count);
    }
    let following = Following {
        jobs: &jobs,
        place: &place,
        agreed: &agreed,
        pay: true,
        json: common.json,
        began,
        prefix: String::new(),
    };
    let results = Results { out: Some(dir.join("picture.png")) };
    let Followed::Over(outcome) = following.follow(&results, &mut signals).await? else {
        say_stopped(&place, temporary.is_some());
        return Ok(ExitCode::from(DETACHED));
    };
    let names = following.names()?;
    if common.json {
        let mut value = outcome.json(&agreed, &names);
        value["picture"] = json!(outcome.path);
        print_json(&value)?;
    } else {
        outcome.print(&names);
        outcome.print_result(agreed.spec.output);
    }
    store.close().await;
    if args.stay {
        if !common.json {
            eprintln!(
                "the network stays up at {} (folder {}); Ctrl-C stops it",
                place.network.rpc_url,
                place.dir.display(),
            );
        }
        stay(devnet, &mut signals, common.json).await?;
    } else {
        devnet.shutdown().await;
    }
    // The picture is what the user wants to keep, also from a temporary folder.
    if let Some(temporary) = temporary {
        let _ = temporary.keep();
    }
    Ok(if outcome.missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The demo's network, in a folder of its own.
async fn start(dir: &Path, args: &Demo) -> Result<Devnet, Problem> {
    Devnet::start(Topology {
        dir: dir.join("network"),
        fresh: true,
        chain: ChainChoice::Own {
            listen: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
            interval: None,
        },
        providers: args.providers,
        auditors: 0,
        slots: 1,
        worker: own_command("worker")?,
        sandbox_init: own_command("sandbox-init")?,
        gpu: GpuUse::Off,
        measure: false,
        models: Vec::new(),
    })
    .await
}

/// The network lives in this process, so interrupting the demo stops it.
fn say_stopped(place: &Place, temporary: bool) {
    if temporary {
        eprintln!("the demo is stopped; its network and its temporary folder are gone with it");
        return;
    }
    let dir = place.dir_option();
    eprintln!(
        "the demo is stopped, and its network with it; it carries on with: tilth up{dir}\n\
         and, in another terminal: tilth job fetch 1{dir}"
    );
}

/// The folder of `--out`, or a fresh temporary one that is deleted if the demo fails.
fn folder(args: &Demo) -> Result<(std::path::PathBuf, Option<tempfile::TempDir>), Problem> {
    let failed = |error: io::Error| {
        Problem::new(
            "the demo's folder cannot be made",
            error.to_string(),
            "name a folder you can write to with --out",
        )
    };
    match &args.out {
        Some(dir) => {
            fs::create_dir_all(dir).map_err(failed)?;
            Ok((dir.canonicalize().map_err(failed)?, None))
        }
        None => {
            let dir = tempfile::Builder::new().prefix("tilth-demo-").tempdir().map_err(failed)?;
            Ok((dir.path().to_owned(), Some(dir)))
        }
    }
}

fn unpack(dir: &Path) -> Result<(), Problem> {
    let write = || {
        EXAMPLE.iter().try_for_each(|(name, bytes)| {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap_or(dir))?;
            fs::write(path, bytes)
        })
    };
    write().map_err(|error: io::Error| {
        Problem::new(
            "the example cannot be unpacked",
            format!("{}: {error}", dir.display()),
            "check the folder's permissions and free space",
        )
    })
}
